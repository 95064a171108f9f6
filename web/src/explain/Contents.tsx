/** The seven parts, at the top. */
import { texts } from "../core/i18n";

const t = texts({
  en: {
    contents: "The seven parts", gate: "One gate and the chain rule", plain: "A plain block", skip: "The express lane",
    truck: "The truck", norm: "BatchNorm", nets: "ResNet and DenseNet", real: "Real networks",
    sheet: "A sheet to print: questions with blanks, answers on the next page",
  },
  zh: {
    contents: "七个部分", gate: "一个门与链式法则", plain: "普通块", skip: "快捷通道", truck: "货车",
    norm: "BatchNorm", nets: "ResNet 与 DenseNet", real: "真实的网络", sheet: "可打印的练习：留空的题目，答案另起一页",
  },
});
/** The first figure of each part. */
export const PARTS = ["gate", "plain", "skip", "truck", "norm", "nets", "real"] as const;

export function Contents() {
  return (
    <nav class="contents" aria-label={t("contents")}>
      <ol>
        {PARTS.map((part) => (
          <li key={part}>
            <a href={`#${part}`}>{t(part)}</a>
          </li>
        ))}
      </ol>
      <p class="pale">
        <a href="#sheet">{t("sheet")}</a>
      </p>
    </nav>
  );
}
