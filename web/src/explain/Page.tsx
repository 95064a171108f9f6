/** The page from top to bottom, and the keys that step through its figures. */
import { useEffect } from "preact/hooks";
import { texts, language } from "../core/i18n";
import { anchor } from "../core/state";
import { Live } from "../ui/Live";
import { Settings } from "../ui/Settings";
import type { ExplainData } from "./data";
import { Plain } from "./Plain";

const t = texts({
  en: {
    title: "Why can ResNet and DenseNet be so deep?",
    lead: "Seven figures, from one gate to real networks. Read down; change any number; nothing moves until you ask.",
    contents: "Figures",
    skip: "Skip to the figures",
  },
  zh: {
    title: "为什么 ResNet 和 DenseNet 可以这么深？",
    lead: "七幅图，从一个门到真实的网络。往下读；任何数都可以改；你不动，它就不动。",
    contents: "图",
    skip: "跳到图",
  },
});

export function Page({ data: _ }: { data: ExplainData }) {
  useEffect(() => {
    document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
    document.title = t("title");
  });
  useEffect(() => {
    const show = document.getElementById(anchor.peek());
    show?.scrollIntoView();
    addEventListener("keydown", page);
    return () => removeEventListener("keydown", page);
  }, []);
  return (
    <>
      <a class="skip-link" href="#plain">
        {t("skip")}
      </a>
      <header>
        <p class="brand">gradpath</p>
        <Settings />
      </header>
      <main>
        <h1>{t("title")}</h1>
        <p class="lead">{t("lead")}</p>
        <Plain />
      </main>
      <Live />
    </>
  );
}

/** PageUp and PageDown, which presenters' remote controls send, step from figure to figure. */
function page(event: KeyboardEvent): void {
  const way = event.key === "PageDown" ? 1 : event.key === "PageUp" ? -1 : 0;
  if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
  const figures = [...document.querySelectorAll<HTMLElement>("section.figure")];
  const tops = figures.map((figure) => figure.getBoundingClientRect().top);
  const next = way > 0 ? tops.findIndex((top) => top > 8) : tops.findLastIndex((top) => top < -8);
  const target = figures[next];
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView();
  target.focus({ preventScroll: true });
  anchor.value = target.id;
}
