/** Which block keeps which tape, as a strip over the full depth: height and colour say how much. */
import { useMemo } from "preact/hooks";
import { texts } from "../core/i18n";
import { Barcode, HEIGHT, WIDTH } from "./Barcode";
import { Term } from "./Glossary";
import { type Mode, MODES, modesOf, type Plan } from "./plans";
import { blockText, choose, chosenBlock, modeText, pointed } from "./planWords";

const t = texts({
  en: {
    title: "What each block keeps, from the stem to the head", keys: "← and → move along the blocks",
    drawing: "{n} blocks as a strip: {modes}", some: "{n} keep {what}", segment: "a segment begins", legend: "Tape mode, and what is kept",
  },
  zh: {
    title: "每个块保留什么（从输入端到输出端）", keys: "← 和 → 在各块之间移动",
    drawing: "{n} 个块的条带：{modes}", some: "{n} 个保留{what}", segment: "一段的开始", legend: "tape 模式及保留的内容",
  },
});
const LOOKS: Readonly<Record<Mode, number>> = { full: 5, lean: 4, raw: 2, last: 6, input: 0, none: 3 };
const HEIGHTS: Readonly<Record<Mode, number>> = { full: 1, lean: 0.82, raw: 0.66, last: 0.5, input: 0.34, none: 0.14 };
const MOST_SEGMENTS = 250;

export function PlanStrip({ plan }: { plan: Plan }) {
  const modes = useMemo(() => modesOf(plan), [plan]);
  const there = MODES.filter((mode) => modes.includes(mode));
  const counted = there.map((mode) => t("some", { n: modes.filter((one) => one === mode).length, what: modeText(mode) }));
  return (
    <Barcode
      id="blocks" title={t("title")} keys={t("keys")} count={modes.length} label={t("drawing", { n: modes.length, modes: counted.join(", ") })}
      chosen={chosenBlock(plan)} pointed={pointed.value} onPoint={(block) => (pointed.value = block)} onChoose={(block) => choose(plan, block)}
      told={(block) => blockText(plan, block, modes)} bars={useMemo(() => <Bars plan={plan} modes={modes} />, [plan])}
    >
      <p class="legend">
        <Term term="tape" name={t("legend")} />
        {there.map((mode) => (
          <span key={mode}>
            <i style={{ background: `linear-gradient(to top, var(--look${LOOKS[mode]}) ${100 * HEIGHTS[mode]}%, transparent 0)` }} />
            {mode}: {modeText(mode)}
          </span>
        ))}
        {plan.segments.length <= MOST_SEGMENTS && <span><i class="segment" />{t("segment")}</span>}
      </p>
    </Barcode>
  );
}

/** A bar for each run of blocks that keep the same; where segments begin, a mark at the top. */
function Bars({ plan, modes }: { plan: Plan; modes: readonly Mode[] }) {
  const width = WIDTH / modes.length;
  const starts = modes.flatMap((mode, block) => (mode === modes[block - 1] ? [] : [block]));
  return (
    <>
      {starts.map((block, i) => {
        const [mode, stop] = [modes[block] ?? "none", starts[i + 1] ?? modes.length];
        const height = HEIGHT * HEIGHTS[mode];
        return <rect key={block} x={block * width} y={HEIGHT - height} width={(stop - block) * width + 0.05} height={height} fill={`var(--look${LOOKS[mode]})`} />;
      })}
      {plan.segments.length <= MOST_SEGMENTS &&
        plan.segments.map(({ start }) => <rect key={`s${start}`} x={start * width} y={0} width={1.5} height={7} fill="var(--ink)" />)}
    </>
  );
}
