/** Dense reuse: which source gets how much gradient from which consumer, beside the weights that read it. */
import { useState } from "preact/hooks";
import { texts } from "../core/i18n";
import { decoded, fromLog10, short } from "../core/numbers";
import { choiceParam } from "../core/state";
import { inkOn, rampColour } from "../core/theme";
import { Choice } from "../ui/Field";
import { Term } from "./Glossary";
import { classOf, relativeRows, spanOf } from "./matrices";
import { SaveTools } from "./SaveTools";
import type { Reuse } from "./records";

const t = texts({
  en: {
    title: "Reuse: source × consumer", energy: "gradient energy", weight: "mean |w| (Huang et al. 2017, Fig. 5)", show: "Show",
    lead: "Each column is a consumer; its cells are relative to the largest in that column. A column that is dark but for its last cells no longer reads old features.",
    drawing: "{rows} sources by {columns} consumers", cell: "from {consumer} back to {source}: norm {norm}, mean |w| {weight}",
    scale: "{low} to 1 of the column's largest", none: "not read", source: "source", consumer: "consumer", hint: "Point at a cell, or move with the arrow keys.",
  },
  zh: {
    title: "特征复用：来源 × 使用者", energy: "梯度能量", weight: "平均 |w|（Huang 等 2017，图 5）", show: "显示",
    lead: "每列是一个使用者；每格相对于该列最大值。除最后几格外都很暗的列，已不再读取旧特征。", drawing: "{rows} 个来源 × {columns} 个使用者",
    cell: "从 {consumer} 传回 {source}：范数 {norm}，平均 |w| {weight}",
    scale: "该列最大值的 {low} 到 1 倍", none: "未读取", source: "来源", consumer: "使用者", hint: "指向某一格，或用方向键移动。",
  },
});
const shown = choiceParam("reuse", "energy", ["energy", "weight"]);
const CELL = 16;
const MOST_NUMBERED = 12;

export function Matrices({ reuse }: { reuse: readonly Reuse[] }) {
  if (!reuse.length) return null;
  return (
    <section class="panel matrix" aria-labelledby="reuse-title" id="reuse">
      <h2 id="reuse-title">
        <Term term="reuse" name={t("title")} />
      </h2>
      <p>{t("lead")}</p>
      <Choice legend={t("show")} choices={[["energy", t("energy")], ["weight", t("weight")]]} value={shown.value} onChange={shown.set} />
      <div class="matrices">
        {reuse.map((one, i) => (
          <Matrix key={i} reuse={one} index={i} />
        ))}
      </div>
      <p class="pale no-print">{t("hint")}</p>
    </section>
  );
}

function Matrix({ reuse, index }: { reuse: Reuse; index: number }) {
  const [at, setAt] = useState<readonly [number, number] | null>(null);
  const { sources, consumers } = reuse;
  const cells = relativeRows(reuse, shown.value);
  const span = spanOf(cells);
  const size = [consumers.length * CELL, sources.length * CELL] as const;
  const move = (event: KeyboardEvent) => {
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [row, column] = at ?? [0, -1];
    setAt([clamp(row + (way[0] ?? 0), sources.length), clamp(column + (way[1] ?? 0), consumers.length)]);
  };
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * consumers.length);
    const row = Math.floor(((event.clientY - box.top) / box.height) * sources.length);
    setAt([clamp(row, sources.length), clamp(column, consumers.length)]);
  };
  const label = t("drawing", { rows: sources.length, columns: consumers.length });
  return (
    <div class="one-matrix" id={`reuse-${index + 1}`}>
      {/* the last consumer may be what follows the block */}
      <h3>{commonScope(consumers.length > 2 ? consumers.slice(0, -1) : consumers) || index + 1}</h3>
      <div tabIndex={0} role="group" aria-label={label} onKeyDown={move}>
        <svg viewBox={`0 0 ${size[0]} ${size[1]}`} width={size[0] * 1.38} role="img" aria-label={label} onPointerMove={point}>
          {cells.flatMap((row, i) => row.map((cell, j) => <Cell key={`${i}.${j}`} row={i} column={j} cell={cell} span={span} isNumbered={consumers.length <= MOST_NUMBERED} />))}
          {at && <rect class="chosen" x={at[1] * CELL} y={at[0] * CELL} width={CELL} height={CELL} />}
        </svg>
      </div>
      <Scale span={span} />
      <p class="read" role="status">{at ? cellText(reuse, at) : label}</p>
      <SaveTools of={`reuse-${index + 1}`} />
    </div>
  );
}

interface CellProps {
  readonly row: number;
  readonly column: number;
  readonly cell: number | null;
  /** The decades that the ramp spans. */
  readonly span: number;
  readonly isNumbered: boolean;
}

/** A cell's value relative to the largest of its column, in decades: null where the source is not read. */
function Cell({ row, column, cell, span, isNumbered }: CellProps) {
  const colour = cell === null ? "transparent" : rampColour(classOf(cell, span));
  return (
    <g>
      <rect x={column * CELL} y={row * CELL} width={CELL} height={CELL} fill={colour} class={cell === null ? "empty" : "cell"} />
      {isNumbered && cell !== null && (
        <text x={(column + 0.5) * CELL} y={(row + 0.5) * CELL + 2.2} text-anchor="middle" fill={inkOn(colour)} font-size={6}>
          {short(10 ** cell, 1)}
        </text>
      )}
    </g>
  );
}

/** The ramp from its smallest to its largest value. */
function Scale({ span }: { span: number }) {
  return (
    <p class="legend scale">
      {Array.from({ length: 10 }, (_, i) => (
        <i key={i} style={{ background: rampColour(i) }} />
      ))}
      <span>{t("scale", { low: fromLog10(-span, 2) })}</span>
    </p>
  );
}

/** The module that all of these lie in: 'stages.0' of 'stages.0.1.norm1' and 'stages.0.2.norm1'. */
function commonScope(names: readonly string[]): string {
  const [first = [], ...others] = names.map((name) => name.split("."));
  const apart = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  return (apart < 0 ? first : first.slice(0, apart)).join(".");
}

function cellText(reuse: Reuse, [row, column]: readonly [number, number]): string {
  const norm = decoded(reuse.log10_norms[row]?.[column]);
  const weight = decoded(reuse.mean_weights[row]?.[column]);
  const names = { source: reuse.sources[row] ?? "", consumer: reuse.consumers[column] ?? "" };
  if (norm === null) return `${names.consumer} → ${names.source}: ${t("none")}`;
  return t("cell", { ...names, norm: fromLog10(norm), weight: short(weight, 3) });
}

const clamp = (value: number, count: number): number => Math.min(Math.max(value, 0), count - 1);
