/** 4. The article's truck: what reaches the queue of customers, without and with the express lane, and where that breaks. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { truck } from "../circuit/build";
import { texts } from "../core/i18n";
import { show } from "../core/numbers";
import { numbersParam, wholeParam } from "../core/state";
import { RangeField } from "../ui/Field";
import { Figure, Scroll } from "../ui/Figure";
import { stepParam, Stepper } from "../ui/Stepper";
import { useWidth } from "../ui/useWidth";
import { LeafFields } from "./LeafFields";
import { Breaks, Ledger } from "./TruckLedger";
import { type Round, truckRound } from "./truckStops";
import { TruckView, widthFor } from "./TruckView";

const t = texts({
  en: {
    title: "The truck: goods for a queue of layers",
    lead:
      "The article's picture. Gradients are goods on a truck that sets out from the loss with **1** and passes a queue of customers, the weights. " +
      "With weights of 0.1 only **0.0001** is left for x at the back of the queue. Give every customer an express lane beside the road, and **1.4641** arrives.",
    drawing: "Two roads from the loss to x, without and with the express lane",
    customers: "Customers",
    atCustomer: "{name}: {without} arrives without the express lane, {express} with it. The gate sends on {weight} times as much; the lane adds all of it again.",
    atEnd: "x, the end of the queue: {without} without the express lane, {express} with it.",
    size: "The area of a crate grows by the same amount with every decade: a logarithmic scale.",
    broken: "There is no finite number at {node}. Choose smaller weights.",
  },
  zh: {
    title: "货车：给排队的层送货",
    lead:
      "这是文章的比喻。梯度是货车上的货物，货车从损失处带着 **1** 出发，依次经过排队的顾客，也就是各个权重。" +
      "权重都是 0.1 时，排在队尾的 x 只剩 **0.0001**。给每位顾客旁边修一条快捷通道，到达 x 的就是 **1.4641**。",
    drawing: "从损失到 x 的两条路：没有快捷通道，和有快捷通道",
    customers: "顾客数",
    atCustomer: "{name}：没有快捷通道时到达 {without}，有快捷通道时到达 {express}。门往后送它的 {weight} 倍；快捷通道再加上全部的一份。",
    atEnd: "队尾的 x：没有快捷通道时到达 {without}，有快捷通道时到达 {express}。",
    size: "数量级每增加一级，箱子的面积增加同样多：对数刻度。",
    broken: "{node} 处没有有限的数。请改用小一些的权重。",
  },
});
const MOST = 8;
const WIDEST = 900;
const customers = wholeParam("truck.customers", 4, 1, MOST);
const settings = numbersParam("truck.set");
const stepOf = stepParam("truck.step");

export function Truck() {
  const round = truckRound(customers.value, settings.value);
  const step = stepOf(round.stops.length);
  const reached = step.value;
  const onTry = (name: string) => settings.set({ ...settings.value, [name]: 2 });
  return (
    <Figure id="truck" title={t("title")} lead={t("lead")} controls={<Controls />} after={round.broken ? null : <Breaks round={round} onTry={onTry} />}>
      {round.broken ? (
        <p class="problem">{t("broken", { node: round.broken })}</p>
      ) : (
        <>
          <Roads round={round} reached={reached} />
          <Stepper step={step} count={round.stops.length} sentence={(k) => said(round, k)} />
          <p class="pale">{t("size")}</p>
          <Ledger round={round} reached={reached} />
        </>
      )}
    </Figure>
  );
}

function Controls() {
  return (
    <>
      <RangeField label={t("customers")} value={customers.value} min={1} max={MOST} onChange={customers.set} />
      <LeafFields circuit={truck(customers.value, true)} set={settings} />
    </>
  );
}

function Roads({ round, reached }: { round: Round; reached: number }) {
  const [place, width] = useWidth(WIDEST);
  const before = useRef(reached);
  const [isDriving, setDriving] = useState(false);
  useLayoutEffect(() => {
    if (before.current !== reached) setDriving(true);
    before.current = reached;
  }, [reached]);
  return (
    <div ref={place}>
      <Scroll label={t("drawing")} follow={reached}>
        <TruckView round={round} reached={reached} width={Math.max(width - 8, widthFor(round))} isDriving={isDriving} />
      </Scroll>
    </div>
  );
}

function said(round: Round, k: number): string {
  const stop = round.stops[k - 1];
  if (!stop) return "";
  const numbers = { name: stop.name, without: show(stop.arrives.without), express: show(stop.arrives.express) };
  return stop.weight === null ? t("atEnd", numbers) : t("atCustomer", { ...numbers, weight: show(stop.weight) });
}
