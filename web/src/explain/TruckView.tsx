/** Two roads from the loss (right) to x (left): without and with the express lane. What arrives at each stop lies on a shelf. */
import { bracketed, show } from "../core/numbers";
import { texts } from "../core/i18n";
import { rems } from "../ui/rems";
import { Crate, Customer, House, Mark, Vehicle } from "./TruckParts";
import { cargoScale, crateSide, type Road, ROADS, type Round } from "./truckStops";

const t = texts({
  en: {
    without: "Without the express lane", express: "With the express lane", loss: "loss",
    drawing: "Two roads from the loss to x past {n} customers. Without the express lane {without} arrives at x, with it {express}",
    arrives: "arrives here",
  },
  zh: {
    without: "没有快捷通道", express: "有快捷通道", loss: "损失",
    drawing: "从损失到 x 的两条路，经过 {n} 位顾客。没有快捷通道时 x 收到 {without}，有快捷通道时收到 {express}",
    arrives: "到达量",
  },
});
const EDGE = 34;
const CHARACTER = 7.6;
const TITLE = 20;
const LANE = 70;
const ROAD = 138;
const SHELF = 236;
const ROW = 266;
/** The road without a lane needs no room for one. */
const LIFT = 52;

interface Props {
  readonly round: Round;
  /** Stops that the truck has reached: 0 at the loss, all at rest. */
  readonly reached: number;
  readonly width: number;
  /** The reader has stepped: from now on trucks drive instead of standing somewhere else. */
  readonly isDriving: boolean;
}

/** The width that these numbers need, so that none runs into the next. */
export function widthFor(round: Round): number {
  const longest = Math.max(...round.stops.flatMap((stop) => ROADS.map((road) => show(stop.arrives[road]).length)));
  const factor = Math.max(...round.stops.map((stop) => (stop.weight === null ? 0 : factorOf(stop.weight).length)));
  return 2 * EDGE + round.stops.length * Math.max(44, CHARACTER * Math.max(longest, factor));
}

export function TruckView({ round, reached, width, isDriving }: Props) {
  const height = 2 * ROW - LIFT + 6;
  const end = round.stops.at(-1);
  const label = t("drawing", {
    n: round.stops.length - 1, without: show(end?.arrives.without ?? NaN), express: show(end?.arrives.express ?? NaN),
  });
  return (
    <svg class={isDriving ? "truck driving" : "truck"} viewBox={`0 0 ${width} ${height}`} style={rems(width, height)} role="img" aria-label={label}>
      <RoadView road="without" y={-LIFT} {...{ round, reached, width }} />
      <RoadView road="express" y={ROW - LIFT} {...{ round, reached, width }} />
    </svg>
  );
}

const factorOf = (weight: number) => `× ${bracketed(show(weight))}`;

interface RoadProps extends Omit<Props, "isDriving"> {
  readonly road: Road;
  readonly y: number;
}

function RoadView({ road, y, round, reached, width }: RoadProps) {
  const { stops } = round;
  const pitch = (width - 2 * EDGE) / stops.length;
  /** Of stop i; the loss is stop −1. */
  const x = (i: number) => width - EDGE - pitch * (i + 1);
  const scale = cargoScale(stops);
  const at = reached - 1;
  const cargo = at < 0 ? 1 : (stops[at]?.arrives[road] ?? NaN);
  const isCustomer = at >= 0 && at < stops.length - 1;
  return (
    <g class={pitch < 60 ? `road ${road} narrow` : `road ${road}`} transform={`translate(0,${y})`}>
      <text class="title" x={EDGE - 26} y={road === "without" ? TITLE + LIFT : TITLE}>
        {t(road)}
      </text>
      <path class="asphalt" d={`M${EDGE},${ROAD}H${width - EDGE}`} />
      <path class="centre" d={`M${EDGE},${ROAD}H${width - EDGE}`} />
      {road === "express" && stops.slice(0, -1).map((stop, i) => <Lane key={stop.name} x={x(i)} pitch={pitch} isFree={i !== at} />)}
      <g data-active={at < 0 ? "" : undefined}>
        <House x={width - EDGE} y={ROAD + 40} label={t("loss")} />
      </g>
      <House x={x(stops.length - 1)} y={ROAD + 40} label="x" />
      {stops.map((stop, i) => (
        <g key={stop.name} data-stop={stop.name} data-active={i === at ? "" : undefined} class={i < reached ? "" : "waiting"}>
          {stop.weight !== null && <Customer x={x(i)} y={ROAD} name={stop.name} factor={factorOf(stop.weight)} />}
          {i < reached && <Crate x={x(i)} y={SHELF} side={crateSide(stop.arrives[road], scale)} text={show(stop.arrives[road])} />}
        </g>
      ))}
      <path class="shelf" d={`M${EDGE - 26},${SHELF + 0.5}H${width - EDGE - pitch / 2}`} />
      <text class="shelf-name" x={width - 8} y={SHELF + 17} text-anchor="end">
        {pitch > 70 ? t("arrives") : ""}
      </text>
      <Vehicle x={x(at)} y={ROAD - 6} side={crateSide(cargo, scale)} text={show(cargo)} />
      {/* The second truck, on the lane, while the first stands at a customer: the add gate has copied its cargo. */}
      {road === "express" && isCustomer && <Vehicle x={x(at)} y={LANE + 2} side={crateSide(cargo, scale)} text={show(cargo)} isCopy />}
      {road === "without" && <Mark x={x(0) - pitch / 2} y={ROAD} number={2} />}
      {road === "express" && <Mark x={x(0) + pitch / 2} y={ROAD - 26} number={1} />}
      {road === "express" && <Mark x={x(stops.length - 2) - Math.min(32, 0.5 * pitch)} y={ROAD + 44} number={3} />}
    </g>
  );
}

/** Up before a customer, along above, and down behind: over this arc the gradient passes whole. No truck stands where the factor is written: free. */
function Lane({ x, pitch, isFree }: { x: number; pitch: number; isFree: boolean }) {
  const half = pitch / 2;
  const ramp = Math.min(14, half / 3);
  const path = `M${x + half},${ROAD}C${x + half - ramp},${ROAD} ${x + half},${LANE} ${x + half - 1.6 * ramp},${LANE}H${x - half + 1.6 * ramp}C${x - half},${LANE} ${x - half + ramp},${ROAD} ${x - half},${ROAD}`;
  return (
    <g class="lane">
      <path class="bed" d={path} />
      <path class="dashes" d={path} />
      {isFree && (
        <text class="factor" x={x} y={LANE + 22} text-anchor="middle">
          × 1
        </text>
      )}
    </g>
  );
}
