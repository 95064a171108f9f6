/** One figure of the page: its anchor, heading, the sentence it makes, the drawing, what can be touched, and saving. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { texts } from "../core/i18n";
import { savePicture, savePng } from "../core/save";
import { stackedDrawings } from "../core/stack";
import { resetAll } from "../core/state";
import { stillWanted } from "../core/theme";
import { Say } from "./Say";

const t = texts({
  en: { save: "Save {name}", reset: "Reset", link: "Link to this figure" },
  zh: { save: "保存 {name}", reset: "重置", link: "本图的链接" },
});

interface Props {
  /** The anchor, and the prefix of the figure's parameters ("plain." …). */
  readonly id: string;
  readonly title: string;
  /** The point, in one or two sentences, before anything is touched. Light markup: see `Say`. */
  readonly lead: string;
  readonly children: ComponentChildren;
  /** What can be changed. */
  readonly controls?: ComponentChildren;
  /** Below the drawing: what to see, corrections, sources. */
  readonly after?: ComponentChildren;
}

/** A section of the page. PageUp and PageDown step from one to the next. */
export function Figure({ id, title, lead, children, controls, after }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const saved = (kind: "svg" | "png") => () => {
    const picture = frame.current && stackedDrawings(frame.current);
    if (picture) return void savePicture(picture, id, kind);
    const canvas = frame.current?.querySelector("canvas");
    if (canvas && kind === "png") void savePng(canvas, id);
  };
  return (
    <section class="figure" id={id} tabIndex={-1} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>
        {title}{" "}
        <a class="anchor" href={`#${id}`} aria-label={t("link")}>
          #
        </a>
      </h2>
      <p class="lead">
        <Say text={lead} />
      </p>
      {controls && <div class="controls">{controls}</div>}
      <div class="frame" ref={frame}>
        {children}
      </div>
      {after && <div class="after">{after}</div>}
      <div class="tools">
        <button type="button" onClick={() => resetAll(`${id}.`)}>
          {t("reset")}
        </button>
        <button type="button" onClick={saved("svg")}>
          {t("save", { name: "SVG" })}
        </button>
        <button type="button" onClick={saved("png")}>
          {t("save", { name: "PNG" })}
        </button>
      </div>
    </section>
  );
}

interface ScrollProps {
  readonly label: string;
  readonly children: ComponentChildren;
  /** When this changes, what is active in the drawing is brought into view, within the frame alone. */
  readonly follow?: number;
}

/** A drawing wider than a telephone: it scrolls sideways in its own frame, by keyboard too. */
export function Scroll({ label, children, follow }: ScrollProps) {
  const frame = useRef<HTMLDivElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    if (follow !== undefined && frame.current) reveal(frame.current, isFirst.current || stillWanted());
    isFirst.current = false;
  }, [follow]);
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0} ref={frame}>
      {children}
    </div>
  );
}

/** Scroll the frame sideways until its active node stands in the middle third; the page stays where it is. */
function reveal(frame: HTMLElement, isJump: boolean): void {
  const active = frame.querySelector(".node.active, [data-active]");
  if (!active || frame.scrollWidth <= frame.clientWidth) return;
  const place = active.getBoundingClientRect();
  const box = frame.getBoundingClientRect();
  const middle = (place.left + place.right) / 2 - box.left;
  if (middle > box.width / 3 && middle < (2 * box.width) / 3) return;
  frame.scrollTo({ left: frame.scrollLeft + middle - box.width / 2, behavior: isJump ? "auto" : "smooth" });
}
