/** The chain rule checked without the chain rule: nudge a leaf, see what the output does. */
import { centralDifference, type Circuit, isLeaf, type Walk } from "../circuit/engine";
import { texts } from "../core/i18n";
import { show } from "../core/numbers";

const t = texts({
  en: {
    summary: "Check by nudging (finite differences)",
    about: "Move one leaf by a hair to both sides and measure how far the loss moves: (L(v + h) − L(v − h)) / 2h. No chain rule in it.",
    leaf: "leaf", rule: "chain rule", nudge: "nudging", agrees: "agree",
    yes: "yes", no: "no: there is a corner here",
  },
  zh: {
    summary: "用微小扰动验证（有限差分）",
    about: "把一个量向两侧各移动一点，测量损失变化多少：(L(v + h) − L(v − h)) / 2h。这里完全没有用链式法则。",
    leaf: "量", rule: "链式法则", nudge: "扰动", agrees: "一致",
    yes: "是", no: "否：此处有拐角",
  },
});
const AGREE = 1e-6;

interface Props {
  readonly circuit: Circuit;
  readonly set: Readonly<Record<string, number>>;
  readonly walked: Walk;
}

export function NudgeTable({ circuit, set, walked }: Props) {
  return (
    <details class="nudge">
      <summary>{t("summary")}</summary>
      <p>{t("about")}</p>
      <table>
        <thead>
          <tr>
            {(["leaf", "rule", "nudge", "agrees"] as const).map((head) => (
              <th key={head} scope="col">
                {t(head)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {circuit.parts.filter(isLeaf).map(({ name }) => {
            const rule = walked.gradients[name] ?? NaN;
            const nudge = centralDifference(circuit, set, name);
            const isSame = Math.abs(rule - nudge) <= AGREE * Math.max(1, Math.abs(rule));
            return (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{show(rule)}</td>
                <td>{show(Number(nudge.toPrecision(6)))}</td>
                <td>{isSame ? t("yes") : t("no")}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </details>
  );
}
