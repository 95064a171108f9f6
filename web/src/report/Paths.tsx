/** Path lengths: what the gradient owes to the paths of each length, and how that changes with depth. */
import { texts } from "../core/i18n";
import { decoded, percent, short } from "../core/numbers";
import { rampColour } from "../core/theme";
import { Term } from "./Glossary";
import { type LengthBar, lengthBars, normMasses, quantile } from "./lengths";
import { SaveTools } from "./SaveTools";
import type { PathLengths } from "./records";

const t = texts({
  en: {
    title: "Path lengths at {at}", branches: "branches passed", layers: "weighted layers passed", blocks: "blocks passed",
    drawing: "Share of the gradient by path length, from {first} to {last}; mean {mean}",
    share: "share of the gradient (bars), norm mass (line)", mass: "norm mass (bars)", mean: "mean length", deviation: "± {value}",
    quantiles: "5 %, 50 %, 95 % of the norm mass at lengths", error: "relative error against autograd",
    extremes: "shortest and longest gradient path (layers)", depth: "By depth: layer × length",
    heat: "Norm mass by path length at {n} layers: each row is a layer, stem on top", length: "length",
    table: "The numbers as a table", veit: "Path-norm mass by sampling: not additive, not to be compared with shares.",
  },
  zh: {
    title: "{at} 处的路径长度", branches: "穿过的分支数", layers: "穿过的加权层数", blocks: "穿过的块数",
    drawing: "各路径长度的梯度占比，从 {first} 到 {last}；平均 {mean}",
    share: "梯度占比（柱）与范数质量（线）", mass: "范数质量（柱）", mean: "平均长度", deviation: "± {value}",
    quantiles: "范数质量 5 %、50 %、95 % 处的长度", error: "与 autograd 的相对误差",
    extremes: "最短与最长梯度路径（层）", depth: "按深度：层 × 长度",
    heat: "{n} 个层处各路径长度的范数质量：每行一层，输入端在上", length: "长度",
    table: "数据表", veit: "抽样得到的路径范数质量：不可加，不能与占比比较。",
  },
});
const WIDTH = 640;
const HEIGHT = 260;
const LEFT = 56;
const BOTTOM = 44;
const TOP = 12;

export function Paths({ record }: { record: PathLengths }) {
  const bars = lengthBars(record);
  const text = (q: number) => String(quantile(bars, q) ?? "-");
  const mean = short(decoded(record.mean_length), 3);
  return (
    <section class="panel paths" aria-labelledby="paths-title" id="paths">
      <h2 id="paths-title">{t("title", { at: record.at })}</h2>
      {record.method === "veit" && <p>{t("veit")}</p>}
      {bars.length > 0 && <Bars record={record} bars={bars} mean={mean} />}
      <dl class="pairs">
        <div>
          <dt><Term term="effective depth" name={t("mean")} /></dt>
          <dd>{mean}{record.deviation !== null && ` ${t("deviation", { value: short(decoded(record.deviation), 3) })}`}</dd>
        </div>
        {bars.length > 0 && (
          <div>
            <dt><Term term="quantile" name={t("quantiles")} /></dt>
            <dd>{`${text(0.05)}, ${text(0.5)}, ${text(0.95)}`}</dd>
          </div>
        )}
        <div>
          <dt><Term term="relative error" name={t("error")} /></dt>
          <dd>{short(decoded(record.relative_error), 2)}</dd>
        </div>
        <div>
          <dt><Term term="shortest and longest gradient path" name={t("extremes")} /></dt>
          <dd>{`${record.shortest_path ?? "-"}, ${record.longest_path ?? "-"}`}</dd>
        </div>
      </dl>
      {record.by_depth.length > 1 && <Heat record={record} />}
      {bars.length > 0 && <Table bars={bars} />}
      <SaveTools of="paths" />
    </section>
  );
}

/** Down to 0 and below it: shares are signed. */
function Bars({ record, bars, mean }: { record: PathLengths; bars: readonly LengthBar[]; mean: string }) {
  const value = (bar: LengthBar) => bar.share ?? bar.mass;
  const high = Math.max(...bars.map((bar) => Math.max(value(bar), bar.mass)), 1e-12);
  const low = Math.min(0, ...bars.map(value));
  const first = bars[0]?.length ?? 0;
  const last = bars.at(-1)?.length ?? 0;
  const pitch = (WIDTH - LEFT - 12) / (last - first + 1);
  const x = (length: number) => LEFT + (length - first) * pitch;
  const y = (at: number) => TOP + ((high - at) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const every = Math.ceil((last - first + 1) / 14);
  const line = bars.map((bar, i) => `${i ? "L" : "M"}${x(bar.length) + pitch / 2},${y(bar.mass)}`).join("");
  const at = decoded(record.mean_length);
  return (
    <div class="plot">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t("drawing", { first, last, mean })}>
        {[low, 0, high].filter((tick, i, all) => all.indexOf(tick) === i).map((tick) => (
          <g key={tick} class="tick">
            <line x1={LEFT} x2={WIDTH - 12} y1={y(tick)} y2={y(tick)} />
            <text x={LEFT - 6} y={y(tick) + 4} text-anchor="end">{percent(tick)}</text>
          </g>
        ))}
        {bars.map((bar) => (
          <rect
            key={bar.length}
            class={value(bar) < 0 ? "bar negative" : "bar"}
            x={x(bar.length) + pitch * 0.1}
            width={Math.max(pitch * 0.8, 0.5)}
            y={y(Math.max(value(bar), 0))}
            height={Math.max(Math.abs(y(value(bar)) - y(0)), 0.5)}
          />
        ))}
        {record.shares && <path class="mass" d={line} />}
        {at !== null && at >= first && at <= last && (
          <g class="mean">
            <line x1={x(at) + pitch / 2} x2={x(at) + pitch / 2} y1={TOP} y2={HEIGHT - BOTTOM} />
            <text x={x(at) + pitch / 2 + 5} y={TOP + 11}>{`${t("mean")} ${mean}`}</text>
          </g>
        )}
        {bars.filter((bar) => (bar.length - first) % every === 0).map((bar) => (
          <text key={bar.length} class="tick" x={x(bar.length) + pitch / 2} y={HEIGHT - BOTTOM + 18} text-anchor="middle">{bar.length}</text>
        ))}
        <text class="axis" x={(LEFT + WIDTH) / 2} y={HEIGHT - 6} text-anchor="middle">{t(record.unit)}</text>
      </svg>
      <p class="pale">{t(record.shares ? "share" : "mass")}</p>
    </div>
  );
}

/** Layers down, lengths across; each row relative to its own largest mass. */
function Heat({ record }: { record: PathLengths }) {
  const rows = record.by_depth;
  const last = Math.max(...rows.flatMap((row) => row.lengths), 1);
  const cell = Math.min(14, 600 / (last + 1));
  const height = Math.max(3, Math.min(12, 480 / rows.length));
  return (
    <div class="heat">
      <h3>{t("depth")}</h3>
      <svg viewBox={`0 0 ${cell * (last + 1)} ${height * rows.length}`} width={cell * (last + 1)} role="img" aria-label={t("heat", { n: rows.length })}>
        {rows.flatMap((row, i) => {
          const masses = normMasses(row.log10_norms);
          const most = Math.max(...masses, 1e-300);
          return row.lengths.map((length, j) => (
            <rect key={`${i}.${length}`} x={length * cell} y={i * height} width={cell} height={height} fill={rampColour(9 * ((masses[j] ?? 0) / most))}>
              <title>{`${row.scope}: ${t("length")} ${length}: ${percent(masses[j] ?? 0)}`}</title>
            </rect>
          ));
        })}
      </svg>
    </div>
  );
}

function Table({ bars }: { bars: readonly LengthBar[] }) {
  return (
    <details class="numbers">
      <summary>{t("table")}</summary>
      <div class="table" role="region" aria-label={t("table")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("length")}</th>
              <th scope="col"><Term term="share" /></th>
              <th scope="col"><Term term="norm mass" /></th>
            </tr>
          </thead>
          <tbody>
            {bars.map((bar) => (
              <tr key={bar.length}>
                <th scope="row">{bar.length}</th>
                <td>{percent(bar.share, 2)}</td>
                <td>{percent(bar.mass, 2)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
