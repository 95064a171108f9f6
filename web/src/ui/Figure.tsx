/** One figure of the page: its anchor, heading, the sentence it makes, the drawing, what can be touched, and saving. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { texts } from "../core/i18n";
import { savePng, saveSvg } from "../core/save";
import { resetAll } from "../core/state";
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
  const drawing = () => frame.current?.querySelector<SVGSVGElement | HTMLCanvasElement>("svg, canvas") ?? null;
  const svg = () => {
    const found = drawing();
    if (found instanceof SVGSVGElement) saveSvg(found, id);
  };
  const png = () => {
    const found = drawing();
    if (found) void savePng(found, id);
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
        <button type="button" onClick={svg}>
          {t("save", { name: "SVG" })}
        </button>
        <button type="button" onClick={png}>
          {t("save", { name: "PNG" })}
        </button>
      </div>
    </section>
  );
}

/** A drawing wider than a telephone: it scrolls sideways in its own frame, by keyboard too. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}
