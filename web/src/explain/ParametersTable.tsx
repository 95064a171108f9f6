/** Parameters beside published errors, so that small is seen to be good as well. */
import { texts } from "../core/i18n";
import { denseNet, resnet, totalOf } from "./netParameters";

const t = texts({
  en: {
    title: "Published errors on CIFAR-10 (with flips and shifts)", net: "net", parameters: "parameters", error: "error", source: "source",
    huang: "Huang et al. 2017", best: "He et al. 2016, best of 5 runs", one: "He et al. 2016", identity: "He et al. 2016b, batch 64",
    preactivation: "Pre-activation ResNet-1001",
  },
  zh: {
    title: "已发表的 CIFAR-10 错误率（有翻转和平移增强）", net: "网络", parameters: "参数量", error: "错误率", source: "来源",
    huang: "Huang 等 2017", best: "He 等 2016，5 次中最好", one: "He 等 2016", identity: "He 等 2016b，批量 64",
    preactivation: "预激活 ResNet-1001",
  },
});

/** Pre-activation ResNet-1001 has bottleneck blocks: its count stands in test/golden, beside `gp.build`'s. */
export const PREACTIVATION_1001 = 10_327_706;

const ROWS = [
  { name: "DenseNet-BC-100, k = 12", parameters: totalOf(denseNet(16, 12)), error: "4.51", source: "huang" },
  { name: "DenseNet-BC-250, k = 24", parameters: totalOf(denseNet(41, 24)), error: "3.62", source: "huang" },
  { name: "DenseNet-BC-190, k = 40", parameters: totalOf(denseNet(31, 40)), error: "3.46", source: "huang" },
  { name: "ResNet-110", parameters: totalOf(resnet(18, 16)), error: "6.43", source: "best" },
  { name: "ResNet-1202", parameters: totalOf(resnet(200, 16)), error: "7.93", source: "one" },
  { name: null, parameters: PREACTIVATION_1001, error: "4.62", source: "identity" },
] as const;

/** The first and the last row err nearly equally often. */
const [SMALL, LARGE] = [ROWS[0], ROWS[ROWS.length - 1]] as const;
export const AT_EQUAL_ERROR = {
  denseError: SMALL.error, otherError: LARGE?.error ?? "", fewer: Math.round((LARGE?.parameters ?? NaN) / SMALL.parameters),
};

export function ParametersTable() {
  return (
    <>
      <h3>{t("title")}</h3>
      <div class="table architectures" role="region" aria-label={t("title")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {(["net", "parameters", "error", "source"] as const).map((head) => (
                <th key={head} scope="col" class={head === "net" || head === "source" ? "left" : undefined}>
                  {t(head)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {ROWS.map(({ name, parameters, error, source }) => (
              <tr key={parameters}>
                <th scope="row">{name ?? t("preactivation")}</th>
                <td>{parameters.toLocaleString("en")}</td>
                <td>{error} %</td>
                <td class="left">{t(source)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
