/** What a line on a logarithmic axis leaves out, said below it. */
import { texts } from "../core/i18n";
import type { Series } from "../ui/Plot";
import { absent } from "./compared";

const t = texts({
  en: { said: "Not on the line of {name}: {what}.", missing: "no gradient at {n} layers", zero: "exactly 0 at {n}", broken: "not finite at {n}" },
  zh: { said: "{name} 的曲线未显示：{what}。", missing: "{n} 层无梯度", zero: "{n} 层恰好为 0", broken: "{n} 层为非有限值" },
});

export function Unseen({ series }: { series: readonly Series[] }) {
  return (
    <>
      {absent(series).map((one) => (
        <p key={one.name} class="pale">
          {t("said", { name: one.name, what: (["missing", "zero", "broken"] as const).filter((key) => one[key]).map((key) => t(key, { n: one[key] })).join(", ") })}
        </p>
      ))}
    </>
  );
}
