/** The page from top to bottom, and the keys and links that lead through its figures. */
import { useEffect } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { anchor } from "../core/state";
import { Live } from "../ui/Live";
import { Settings } from "../ui/Settings";
import { Contents } from "./Contents";
import type { ExplainData } from "./data";
import { Footer } from "./Footer";
import { Gate } from "./Gate";
import { followLink, pageKey } from "./navigate";
import { Paths } from "./Paths";
import { Plain } from "./Plain";
import { Dense } from "./Dense";
import { Nets } from "./Nets";
import { Norm } from "./Norm";
import { Parameters } from "./Parameters";
import { Real } from "./Real";
import { Sheet } from "./Sheet";
import { Skip } from "./Skip";
import { Truck } from "./Truck";

const t = texts({
  en: {
    title: "Why can ResNet and DenseNet be so deep?",
    lead: "Seven parts, from one gate to real networks. Read down; change any number; nothing moves until you ask.",
    skip: "Skip to the figures",
  },
  zh: {
    title: "为什么 ResNet 和 DenseNet 可以这么深？",
    lead: "七个部分，从一个门到真实的网络。往下读；任何数都可以改；你不动，它就不动。",
    skip: "跳到图",
  },
});

export function Page({ data }: { data: ExplainData }) {
  const isSheet = anchor.value === "sheet";
  useEffect(() => {
    document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
    document.title = t("title");
  });
  useEffect(() => {
    document.getElementById(anchor.peek())?.scrollIntoView();
  }, [isSheet]); // and on loading
  useEffect(() => {
    addEventListener("keydown", pageKey);
    return () => removeEventListener("keydown", pageKey);
  }, []);
  return (
    <div onClick={followLink}>
      <a class="skip-link" href={isSheet ? "#sheet" : "#gate"}>
        {t("skip")}
      </a>
      <header>
        <p class="brand">gradpath</p>
        <Settings />
      </header>
      <main>{isSheet ? <Sheet /> : <Figures data={data} />}</main>
      <Footer version={data.version} />
      <Live />
    </div>
  );
}

function Figures({ data }: { data: ExplainData }) {
  return (
    <>
      <h1>{t("title")}</h1>
      <p class="lead">{t("lead")}</p>
      <Contents />
      <Gate />
      <Plain />
      <Skip />
      <Paths />
      <Truck />
      <Norm />
      <Nets />
      <Dense />
      <Parameters />
      <Real data={data} />
    </>
  );
}
