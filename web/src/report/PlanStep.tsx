/** Memory over one step, from the first forward to the last backward: the peak, the budget, what is always there. */
import { useMemo, useState } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { memory } from "../core/numbers";
import { wholeParam } from "../core/state";
import { RangeField } from "../ui/Field";
import { Plot, type Series } from "../ui/Plot";
import { Panel } from "./Panel";
import { alwaysOf, byteTicks, type Move, movesOf, peaksOf, type Plan } from "./plans";
import { blockName, choose, chosenBlock, layerName, pointed } from "./planWords";

const t = texts({
  en: {
    title: "Memory over one step, predicted", moves: "moves in the order of the step", bytes: "bytes on the device",
    drawing: "Bytes over the {n} moves of a step: the peak is {peak} at move {at}", move: "Move",
    forward: "forward", again: "forward again", backward: "backward", legendForward: "▸ forward", legendBackward: "◂ backward",
    told: "{at} of {n}, {what}, {where}: {bytes}", peak: "peak {size}", budget: "budget {size}", above: "budget {size}: above this scale",
    always: "parameters, gradients, optimiser, buffers: {size}", counted: "Nothing is planned: added up from the layers, everything kept.",
    none: "Neither moves nor layers are known.", hint: "Click the line to select its block; the thin lines are the moves of that block.",
  },
  zh: {
    title: "一步之内的内存（预测）", moves: "按先后顺序的操作", bytes: "设备上的字节数",
    drawing: "一步的 {n} 个操作中的字节数：峰值 {peak}，在第 {at} 个操作", move: "操作",
    forward: "前向", again: "再次前向", backward: "反向", legendForward: "▸ 前向", legendBackward: "◂ 反向",
    told: "第 {at} / {n} 个，{what}，{where}：{bytes}", peak: "峰值 {size}", budget: "预算 {size}", above: "预算 {size}：超出此刻度",
    always: "参数、梯度、优化器、缓冲区：{size}", counted: "没有任何块被规划：由各层相加得出，全部保留。",
    none: "既没有操作也没有层的数据。", hint: "点击曲线可选中对应的块；细线是该块的各个操作。",
  },
});
const COLUMNS = 240;
const place = wholeParam("plan.move", 0, 0, 1e9);

export function PlanStep({ plan }: { plan: Plan }) {
  const moves = useMemo(() => movesOf(plan), [plan]);
  return (
    <Panel id="step" title={t("title")} drawn={moves.length > 0}>
      {moves.length ? <Step plan={plan} moves={moves} /> : <p>{t("none")}</p>}
    </Panel>
  );
}

function Step({ plan, moves }: { plan: Plan; moves: readonly Move[] }) {
  const [under, setUnder] = useState<number | null>(null);
  const isPlanned = plan.segments.length > 0;
  const turn = moves.findIndex((move) => move.pass === "backward");
  const peak = peaksOf(moves, 0, moves.length, 1)[0] ?? 0;
  const highest = moves[peak]?.bytes ?? 0;
  const budget = isPlanned ? plan.memory_bytes : 0;
  const top = 1.12 * Math.max(highest, 1, Math.min(budget, 2 * highest));
  const at = place.value > 0 ? Math.min(place.value, moves.length) - 1 : peak; // moves are counted from 1
  const series = useMemo(() => passes(moves, turn), [moves, language()]);
  const block = isPlanned ? (pointed.value >= 0 ? pointed.value : chosenBlock(plan)) : -1;
  const told = (i: number) => {
    const move = moves[i] ?? { what: "forward", index: 0, bytes: 0 };
    const where = isPlanned ? blockName(plan, move.index) : layerName(plan, move.index);
    return t("told", { at: i + 1, n: moves.length, what: t(move.what), where, bytes: memory(move.bytes) });
  };
  const point = (x: number | null) => {
    setUnder(x === null ? null : x - 1);
    if (isPlanned) pointed.value = x === null ? -1 : (moves[x - 1]?.index ?? -1);
  };
  const go = (x: number) => {
    place.set(x);
    if (isPlanned) choose(plan, moves[x - 1]?.index ?? 0);
  };
  return (
    <>
      <Plot
        label={t("drawing", { n: moves.length, peak: memory(highest), at: peak + 1 })}
        series={series} xTitle={t("moves")} yTitle={t("bytes")} yDomain={[0, top]} yTicks={byteTicks(top)} yText={(bytes) => (bytes ? memory(bytes) : "0")}
        selected={at + 1} onSelect={go} onPoint={point}
        overlay={(x, y) => (
          <>
            <rect class="always" x={x(1)} y={y(alwaysOf(plan))} width={x(moves.length) - x(1)} height={y(0) - y(alwaysOf(plan))} />
            {block >= 0 && moves.flatMap((move, i) => (move.index === block ? [<line key={i} class="of-block" x1={x(i + 1)} x2={x(i + 1)} y1={y(0)} y2={y(top)} />] : []))}
            {budget > 0 && budget <= top && <Budget y={y(budget)} from={x(1)} to={x(moves.length)} text={t("budget", { size: memory(budget) })} />}
            <path class="peak" d={`M${x(peak + 1)},${y(highest) - 1}l-5,-8h10Z`} />
            <text class="note" x={x(peak + 1) + (2 * peak > moves.length ? -10 : 10)} y={y(highest) + (isNear(y(budget), y(highest)) ? BELOW : -3)} text-anchor={2 * peak > moves.length ? "end" : "start"}>
              {t("peak", { size: memory(highest) })}
            </text>
          </>
        )}
      />
      <RangeField label={t("move")} value={at + 1} min={1} max={moves.length} onChange={go} spoken={(x) => told(x - 1)} />
      {under !== null && under !== at && <p class="pale">{told(under)}</p>}
      <p class="legend">
        <span><i class="always" />{t("always", { size: memory(alwaysOf(plan)) })}</span>
        {budget > top && <span>{t("above", { size: memory(budget) })}</span>}
      </p>
      <p class="pale no-print">{t(isPlanned ? "hint" : "counted")}</p>
    </>
  );
}

/** Whether the words at two heights would stand in each other's way. */
const isNear = (one: number, other: number): boolean => Math.abs(one - other) < 24;
const BELOW = 16;

function Budget({ y, from, to, text }: { y: number; from: number; to: number; text: string }) {
  return (
    <>
      <line class="budget" x1={from} x2={to} y1={y} y2={y} />
      <text class="note" x={from + 6} y={y - 6}>{text}</text>
    </>
  );
}

/** Both passes, of many moves those with the most bytes. */
function passes(moves: readonly Move[], turn: number): Series[] {
  const stop = turn < 0 ? moves.length : turn;
  const points = (from: number, to: number) => {
    const columns = Math.max(Math.round((COLUMNS * (to - from)) / moves.length), 1);
    return peaksOf(moves, from, to, columns).map((i) => [i + 1, moves[i]?.bytes ?? 0] as const);
  };
  return [
    { name: t("legendForward"), points: points(0, stop), look: 4, isStairs: true },
    { name: t("legendBackward"), points: points(stop, moves.length), look: 0, isStairs: true },
  ];
}
