/** Where the paths are and where the gradient comes from: outlines and bars over the path length. */
import { scaleLinear } from "d3-scale";
import { texts } from "../core/i18n";
import { percent, show } from "../core/numbers";
import { rems } from "../ui/rems";
import { useWidth } from "../ui/useWidth";
import { effectiveDepth, type PathLength } from "./pathLengths";

const t = texts({
  en: {
    gradient: "the gradient that comes over them", paths: "the paths", axis: "blocks passed, of {n}",
    depth: "effective depth {depth}", table: "The numbers as a table", y: "share",
    drawing: "Shares over the number of blocks passed: paths centre on {middle} of {n} blocks, the gradient on {depth}",
    length: "blocks passed", count: "paths", each: "each brings", together: "together", share: "share of the gradient",
  },
  zh: {
    gradient: "经这些路径到达的梯度", paths: "路径的数目", axis: "穿过的块数（共 {n} 个）",
    depth: "有效深度 {depth}", table: "数据表", y: "占比",
    drawing: "按穿过块数统计的占比：路径集中在 {n} 个块中的 {middle} 个，梯度集中在 {depth} 个",
    length: "穿过的块数", count: "路径数", each: "每条带来", together: "合计", share: "占梯度的比例",
  },
});
const WIDEST = 560;
const HEIGHT = 300;
const LEFT = 52;
const RIGHT = 12;
const TOP = 34;
const BOTTOM = 46;
const TICKS = 4;

interface Props {
  readonly lengths: readonly PathLength[];
  readonly factor: number;
}

export function PathBars({ lengths, factor }: Props) {
  const [frame, width] = useWidth(WIDEST);
  const n = lengths.length - 1;
  const depth = effectiveDepth(n, factor);
  const top = Math.max(...lengths.map((one) => Math.max(one.share, one.shareOfPaths)));
  const pitch = (width - LEFT - RIGHT) / (n + 1);
  const x = (length: number) => LEFT + pitch * (length + 0.5);
  const y = (share: number) => HEIGHT - BOTTOM - (share / top) * (HEIGHT - BOTTOM - TOP);
  const slots = { n, middle: show(n / 2), depth: show(short(depth)) };
  const isRight = x(depth) > width / 2;
  return (
    <div class="bars" ref={frame}>
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} style={rems(width, HEIGHT)} role="img" aria-label={t("drawing", slots)}>
        {scaleLinear([0, top], [0, 1]).ticks(TICKS).map((share) => (
          <g key={share} class="tick">
            <line x1={LEFT} x2={width - RIGHT} y1={y(share)} y2={y(share)} />
            <text x={LEFT - 6} y={y(share) + 4} text-anchor="end">
              {percent(share, 0)}
            </text>
          </g>
        ))}
        {lengths.map((one) => (
          <rect key={one.length} class="gradient-bar" x={x(one.length) - 0.4 * pitch} y={y(one.share)} width={0.8 * pitch} height={y(0) - y(one.share)} />
        ))}
        <path class="paths" d={outline(lengths, x, y, pitch)} />
        <line class="depth" x1={x(depth)} x2={x(depth)} y1={TOP - 8} y2={y(0)} />
        <text class="depth" x={x(depth) + (isRight ? 4 : -4)} y={TOP - 14} text-anchor={isRight ? "end" : "start"}>
          {t("depth", slots)}
        </text>
        {ticks(n).map((length) => (
          <text key={length} class="tick" x={x(length)} y={HEIGHT - BOTTOM + 18} text-anchor="middle">
            {length}
          </text>
        ))}
        <text class="axis" x={(LEFT + width - RIGHT) / 2} y={HEIGHT - 6} text-anchor="middle">
          {t("axis", slots)}
        </text>
      </svg>
      <ul class="key">
        <li>
          <span class="swatch filled" aria-hidden="true" />
          {t("gradient")}
        </li>
        <li>
          <span class="swatch outlined" aria-hidden="true" />
          {t("paths")}
        </li>
      </ul>
      <Numbers lengths={lengths} label={t("drawing", slots)} />
    </div>
  );
}

/** A number with three digits. */
export const short = (value: number): number => Number(value.toPrecision(3));

/** A share with three digits, also where it is tiny. */
export const digits = (share: number): string => `${show(short(100 * share))}\u00a0%`;

/** The outline of a histogram. */
function outline(lengths: Props["lengths"], x: (at: number) => number, y: (share: number) => number, pitch: number): string {
  const steps = lengths.map(({ length, shareOfPaths }) => `V${y(shareOfPaths).toFixed(1)}H${(x(length) + pitch / 2).toFixed(1)}`);
  return `M${(x(0) - pitch / 2).toFixed(1)},${y(0)}${steps.join("")}V${y(0)}`;
}

function ticks(n: number): number[] {
  const every = n <= 12 ? 1 : n <= 25 ? 5 : 10;
  return Array.from({ length: Math.floor(n / every) + 1 }, (_, i) => i * every);
}

function Numbers({ lengths, label }: { lengths: readonly PathLength[]; label: string }) {
  const heads = ["length", "count", "each", "together", "share"] as const;
  return (
    <details class="numbers">
      <summary>{t("table")}</summary>
      <div class="table" role="region" aria-label={label} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {heads.map((head) => (
                <th key={head} scope="col">
                  {t(head)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lengths.map((one) => (
              <tr key={one.length}>
                <th scope="row">{one.length}</th>
                <td>{String(one.paths)}</td>
                <td>{show(one.each)}</td>
                <td>{show(one.together)}</td>
                <td>{digits(one.share)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
