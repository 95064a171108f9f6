/** What was delivered where, as a table, and where the picture of a truck breaks, with the numbers that break it. */
import { language, texts } from "../core/i18n";
import { show } from "../core/numbers";
import { Say } from "../ui/Say";
import { allSame, ownGradients, ROADS, type Round } from "./truckStops";

const t = texts({
  en: {
    title: "The ledger", stop: "stop", without: "without the lane", express: "with the lane", arrives: "arrives at the gate", own: "the weight's own gradient, dL/dc",
    sum: "customers in all", breaks: "Where the picture breaks",
    copies:
      "**Goods are used up, gradients are not.** An add gate copies: the lane and the road both get all of it. The truck set out with 1, " +
      "and with the express lane the customers' gates get {delivered} between them.",
    scales:
      "**No customer takes anything away.** A multiply gate scales what goes on to the next one: the first customer by {factor} here, " +
      "without the lane. A weight above 1 makes it more: set {name} to 2 and look.",
    same:
      "**The back of the queue is not worse off.** Every weight's own gradient is the same: {without} without the lane, {express} with it. It is what " +
      "arrives at the gate times the signal that enters there, and the signal changes from x to the end by the very factors by which the gradient changes on its way back. " +
      "What changes towards x is what arrives: what anything before x would get.",
    different:
      "**A weight's own gradient is not what arrives.** It is that, times the signal that enters its gate. Without the lane: {without}. With it: {express}.",
    try: "Set {name} to 2",
  },
  zh: {
    title: "账本", stop: "站点", without: "没有快捷通道", express: "有快捷通道", arrives: "到达门的梯度", own: "权重自己的梯度 dL/dc",
    sum: "各顾客合计", breaks: "比喻在哪里失效",
    copies: "**货物会被取走，梯度不会。**加法门是复制：快捷通道和原来的路都得到全部。货车出发时只有 1，有快捷通道时，到达各顾客的门的合计却是 {delivered}。",
    scales: "**顾客并没有拿走什么。**乘法门只是缩放继续往后送的量：没有快捷通道时，这里第一位顾客处乘以 {factor}。权重大于 1 时反而变多：把 {name} 设为 2 看看。",
    same:
      "**排在队尾并不吃亏。**每个权重自己的梯度都相同：没有快捷通道时 {without}，有快捷通道时 {express}。它等于到达该门的梯度乘以进入该门的信号，" +
      "而信号从 x 走到末端时改变的倍数，正是梯度往回走时改变的倍数。越往 x 变化的，是到达的梯度，也就是 x 之前的层会得到的量。",
    different: "**权重自己的梯度并不等于到达的梯度**，还要乘以进入该门的信号。没有快捷通道时：{without}。有快捷通道时：{express}。",
    try: "把 {name} 设为 2",
  },
});

interface Props {
  readonly round: Round;
  readonly reached: number;
}

export function Ledger({ round, reached }: Props) {
  const waiting = "…";
  return (
    <>
      <h3>{t("title")}</h3>
      <div class="table whole" role="region" aria-label={t("title")} tabIndex={0}>
        <table class="ledger">
          <thead>
            <tr>
              <th scope="col" rowSpan={2} class="left">{t("stop")}</th>
              <th scope="colgroup" colSpan={2}>{t("arrives")}</th>
              <th scope="colgroup" colSpan={2}>{t("own")}</th>
            </tr>
            <tr>
              {[0, 1].flatMap((group) => ROADS.map((road) => <th key={`${group}${road}`} scope="col">{t(road)}</th>))}
            </tr>
          </thead>
          <tbody>
            {round.stops.map((stop, i) => (
              <tr key={stop.name} class={i === reached - 1 ? "changed" : ""}>
                <th scope="row">{stop.name}</th>
                {ROADS.map((road) => <td key={road}>{i < reached ? show(stop.arrives[road]) : waiting}</td>)}
                {ROADS.map((road) => <td key={road}>{!stop.own ? "" : i < reached ? show(stop.own[road]) : waiting}</td>)}
              </tr>
            ))}
            <tr class="sum">
              <th scope="row">{t("sum")}</th>
              {ROADS.map((road) => <td key={road}>{reached >= round.stops.length - 1 ? show(round.delivered[road]) : waiting}</td>)}
              <td colSpan={2} />
            </tr>
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The notes carry the numbers of the marks in the drawing. */
export function Breaks({ round, onTry }: { round: Round; onTry: (name: string) => void }) {
  const first = round.stops[0];
  if (!first || first.weight === null) return null;
  const { name } = first;
  const own = { without: ownGradients(round, "without", language()), express: ownGradients(round, "express", language()) };
  return (
    <>
      <h3>{t("breaks")}</h3>
      <ol class="breaks">
        <li>
          <Say text={t("copies", { delivered: show(round.delivered.express) })} />
        </li>
        <li>
          <Say text={t("scales", { factor: show(first.weight), name })} />{" "}
          <button type="button" onClick={() => onTry(name)}>
            {t("try", { name })}
          </button>
        </li>
        <li>
          <Say text={t(allSame(round) ? "same" : "different", own)} />
        </li>
      </ol>
    </>
  );
}
