/** Factors per layer, measured here and expected, and what is left at the end: the two plots in nine numbers. */
import { texts } from "../core/i18n";
import { fromLog10, short } from "../core/numbers";
import type { Profiles } from "./Norm";
import { KINDS } from "./normNet";
import { backwardFactor, energyFactor } from "./normTheory";

const t = texts({
  en: {
    caption: "Factor of energy (RMS squared) per layer: slope of the measured line, and of the theory's",
    net: "net", forward: "forward, per layer", backward: "backward, per layer", first: "gradient at layer 1",
    plain: "plain", norm: "BatchNorm", skip: "BatchNorm and skip", measured: "× {factor}", expected: "(theory {factor})",
  },
  zh: {
    caption: "每层能量（均方根的平方）乘以多少：实测曲线的斜率，以及理论值",
    net: "网络", forward: "前向，每层", backward: "反向，每层", first: "第 1 层的梯度",
    plain: "普通网络", norm: "BatchNorm", skip: "BatchNorm 加快捷通道", measured: "× {factor}", expected: "（理论 {factor}）",
  },
});

export function NormTable({ measured, expected }: { measured: Profiles; expected: Profiles }) {
  return (
    <>
      <p class="pale">{t("caption")}</p>
      <div class="table" role="region" aria-label={t("caption")} tabIndex={0}>
        <table class="factors">
          <thead>
            <tr>
              {(["net", "forward", "backward", "first"] as const).map((head) => (
                <th key={head} scope="col" class={head === "net" ? "left" : undefined}>
                  {t(head)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {KINDS.map((kind) => (
              <tr key={kind}>
                <th scope="row">{t(kind)}</th>
                <Factor measured={energyFactor(measured[kind].forward)} expected={energyFactor(expected[kind].forward)} />
                <Factor measured={backwardFactor(measured[kind].backward)} expected={backwardFactor(expected[kind].backward)} />
                <td>{fromLog10(measured[kind].backward[0] ?? null, 3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Two parts, so that a narrow cell breaks between them and not within a number. */
function Factor({ measured, expected }: { measured: number | null; expected: number | null }) {
  return (
    <td>
      <span>{t("measured", { factor: short(measured, 3) })}</span> <span>{t("expected", { factor: short(expected, 3) })}</span>
    </td>
  );
}
