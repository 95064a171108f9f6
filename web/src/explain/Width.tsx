/** 7c. Depth against width: every net costs the same multiply-adds, deep and narrow or shallow and wide. */
import { texts } from "../core/i18n";
import { count } from "../core/numbers";
import { Figure } from "../ui/Figure";
import { Plot } from "../ui/Plot";
import { Say } from "../ui/Say";
import type { WidthCell, Widths } from "./data";
import { spread, widthSeries } from "./realData";
import { netName, Recorded } from "./realNames";

const t = texts({
  en: {
    title: "Depth or width? The same cost, spent differently",
    lead:
      "Every net here costs about {macs} multiply-adds per image. From left to right the same budget buys more layers, each narrower. " +
      "Plain nets pay for depth: from **{plainBest}** at {plainBestDepth} layers down to **{plainDeep}** at {deep}. " +
      "Residual nets keep what they had: {residualShallow} at {shallow} layers (wide), **{residualDeep}** at {deep}.",
    label: "Test accuracy against depth at equal cost: plain nets fall with depth, residual nets do not",
    depth: "layers (channels of the first stage)", right: "% right on test images", plain: "plain, BatchNorm", residual: "residual",
    net: "net", channels: "channels", parameters: "weights", error: "± standard error", n: "runs", table: "Every run in numbers",
    about:
      "Wide and shallow residual nets are a real choice: Zagoruyko and Komodakis (2016) reached lower error with 28 wide layers than with 1,001 narrow ones. " +
      "Here training is short, so this panel shows what is quick to learn, not what is best in the end. Bars: lowest and highest run.",
  },
  zh: {
    title: "要深还是要宽？同样的计算量，不同的花法",
    lead:
      "这里每个网络处理一张图像约需 {macs} 次乘加。从左到右，同样的预算买到更多的层，每层更窄。" +
      "普通网络为深度付出代价：{plainBestDepth} 层时 **{plainBest}**，{deep} 层时降到 **{plainDeep}**。" +
      "残差网络守住了成绩：{shallow} 层（宽）{residualShallow}，{deep} 层 **{residualDeep}**。",
    label: "相同计算量下测试准确率随深度的变化：普通网络随深度下降，残差网络不下降",
    depth: "层数（第一阶段的通道数）", right: "测试图像正确 %", plain: "普通，BatchNorm", residual: "残差",
    net: "网络", channels: "通道", parameters: "权重数", error: "± 标准误", n: "次数", table: "每组训练的数字",
    about:
      "又宽又浅的残差网络是一个真实的选择：Zagoruyko 与 Komodakis（2016）用 28 个宽层得到的错误率低于 1001 个窄层。" +
      "这里训练很短，所以此图显示的是什么学得快，而不是最终什么最好。竖线：最低与最高的一次。",
  },
});

const accuracy = (cell: WidthCell | undefined): string => {
  const found = cell ? spread(cell.test_accuracy) : null;
  return found ? `${(100 * found.mean).toFixed(1)} %` : "-";
};
const meanOf = (cell: WidthCell): number => spread(cell.test_accuracy)?.mean ?? 0;

export function WidthFigure({ widths }: { widths: Widths }) {
  const cells = widths.nets.filter((cell) => spread(cell.test_accuracy));
  const ticks = [...new Map(cells.map((cell) => [cell.depth, cell.width]))];
  const series = widthSeries(cells, { plain: t("plain"), residual: t("residual") });
  return (
    <Figure id="width" title={t("title")} lead={t("lead", leadSlots(widths, cells))} after={<After widths={widths} cells={cells} />}>
      <Plot
        label={t("label")}
        series={series}
        xTitle={t("depth")}
        yTitle={t("right")}
        xTicks={ticks.map(([depth]) => depth)}
        xText={(depth) => `${depth} (${ticks.find(([at]) => at === depth)?.[1] ?? ""})`}
        yDomain={extremes(cells)}
        overlay={(x, y) => cells.map((cell) => <Whisker key={cell.family + cell.depth} cell={cell} x={x} y={y} />)}
      />
    </Figure>
  );
}

function leadSlots(widths: Widths, cells: readonly WidthCell[]) {
  const of = (family: string) => cells.filter((cell) => cell.family === family).sort((a, b) => a.depth - b.depth);
  const plain = of("plain");
  const residual = of("residual");
  const best = [...plain].sort((a, b) => meanOf(b) - meanOf(a))[0];
  return {
    macs: count(widths.cost), plainBest: accuracy(best), plainBestDepth: best?.depth ?? 0, plainDeep: accuracy(plain.at(-1)),
    deep: plain.at(-1)?.depth ?? 0, shallow: residual[0]?.depth ?? 0, residualShallow: accuracy(residual[0]), residualDeep: accuracy(residual.at(-1)),
  };
}

const known = (cell: WidthCell): number[] => cell.test_accuracy.filter((value): value is number => value !== null).map((value) => 100 * value);

function extremes(cells: readonly WidthCell[]): [number, number] {
  const all = cells.flatMap(known);
  return [Math.floor(Math.min(...all) / 5) * 5, Math.ceil(Math.max(...all) / 5) * 5];
}

function Whisker({ cell, x, y }: { cell: WidthCell; x: (value: number) => number; y: (value: number) => number }) {
  const values = known(cell);
  const at = x(cell.depth);
  return <line class={`whisker look${cell.family === "plain" ? 3 : 4}`} x1={at} x2={at} y1={y(Math.min(...values))} y2={y(Math.max(...values))} />;
}

function After({ widths, cells }: { widths: Widths; cells: readonly WidthCell[] }) {
  const heads = ["net", "channels", "parameters", "right", "error", "n"] as const;
  return (
    <>
      <details class="numbers">
        <summary>{t("table")}</summary>
        <div class="table" role="region" aria-label={t("table")} tabIndex={0}>
          <table>
            <thead>
              <tr>{heads.map((head) => <th key={head} scope="col">{t(head)}</th>)}</tr>
            </thead>
            <tbody>
              {cells.map((cell) => {
                const found = spread(cell.test_accuracy);
                const error = found?.error == null ? "-" : (100 * found.error).toFixed(1);
                return (
                  <tr key={cell.family + cell.depth}>
                    <th scope="row">{netName(cell)}</th>
                    {[cell.width, count(cell.parameters), accuracy(cell), error, found?.n ?? 0].map((text, i) => <td key={i}>{text}</td>)}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      </details>
      <p>
        <Say text={t("about")} />
      </p>
      <Recorded about={widths} seeds={widths.seeds} />
    </>
  );
}
