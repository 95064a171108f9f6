/** Effective depth as one large number, and each simulated change with its effect. */
import { texts } from "../core/i18n";
import { decoded, fromLog10, short } from "../core/numbers";
import type { FlowView } from "./flowview";
import { Term } from "./Glossary";
import { valueOf } from "./quantities";
import { kindText } from "./kinds";
import type { Flow, Num, TriedChange } from "./records";
import { spokenIn, told } from "./told";

const t = texts({
  en: {
    depth: "effective depth", of: "of {n} branches, {layers} weighted layers", plain: "weighted layers, and no way around them",
    cancelled: "paths cancel: no average", skip: "skip share", stem: "stem over head",
    title: "What would cure it, simulated", change: "change", effect: "what it did", before: "as it is",
    smallest: "smallest gradient (RMS)", largest: "largest", left: "findings left", none: "none", backward: "backward pass only",
    again: "To repeat it: gradpath trace TARGET {options}", suggested: "Worth trying: gradpath trace TARGET {options}",
    sparkline: "gradient over depth after {change}",
  },
  zh: {
    depth: "有效深度", of: "（共 {n} 个分支，{layers} 个加权层）", plain: "个加权层，没有绕行的通道",
    cancelled: "路径相互抵消：没有平均值", skip: "跳跃占比", stem: "首尾之比",
    title: "模拟过的改动", change: "改动", effect: "效果", before: "现状",
    smallest: "最小梯度（均方根）", largest: "最大", left: "剩余的问题", none: "无", backward: "仅反向传播",
    again: "重复：gradpath trace TARGET {options}", suggested: "值得一试：gradpath trace TARGET {options}",
    sparkline: "{change} 之后梯度随深度的变化",
  },
});

/** The three numbers that describe the whole net. */
export function Numbers({ view }: { view: FlowView }) {
  const { flow, weighted } = view;
  const forks = flow.forks.filter((fork) => fork.kind === "residual").length;
  const depth = decoded(flow.effective_depth);
  const layers = weighted.length;
  return (
    <div class="big-numbers">
      <div>
        <span class="big">{forks ? (depth === null ? "-" : short(depth, 3)) : layers}</span>
        {forks ? (
          <span>
            <Term term="effective depth" name={t("depth")} /> {t("of", { n: forks, layers })}
            {depth === null && ` (${t("cancelled")})`}
          </span>
        ) : (
          <span>{t("plain")}</span>
        )}
      </div>
      <div>
        <span class="big">{short(decoded(flow.stem_over_head), 3)}</span>
        <Term term="stem over head" name={t("stem")} />
      </div>
      {flow.skip_share !== null && (
        <div>
          <span class="big">{`${short(100 * (decoded(flow.skip_share) ?? NaN), 3)} %`}</span>
          <Term term="skip share" name={t("skip")} />
        </div>
      )}
    </div>
  );
}

export function Cures({ flow }: { flow: Flow }) {
  const options = (changes: readonly string[]) => changes.map((change) => `--try ${change}`).join(" ");
  const suggested = flow.findings[0]?.cures ?? [];
  if (!flow.tried.length) {
    return suggested.length ? <p class="pale"><code>{t("suggested", { options: options(suggested) })}</code></p> : null;
  }
  const measured = flow.layers.filter((layer) => layer.weighted).map((layer) => valueOf(layer, "gradient"));
  const all = finite([...measured, ...flow.tried.flatMap((change) => change.log10_gradient_rms.map(decoded))]);
  const range = [Math.min(...all), Math.max(...all)] as const;
  const before = flow.findings.map((finding) => finding.kind);
  return (
    <section class="panel cures" aria-labelledby="cures-title" id="cures">
      <h2 id="cures-title">{t("title")}</h2>
      <div class="table" role="region" aria-labelledby="cures-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("change")}</th>
              <th scope="col">{t("smallest")}</th>
              <th scope="col">{t("largest")}</th>
              <th scope="col">{t("stem")}</th>
              <th scope="col">{t("depth")}</th>
              <th scope="col" class="left">{t("left")}</th>
              <th scope="col" class="left"><span class="hidden-text">{t("effect")}</span></th>
            </tr>
          </thead>
          <tbody>
            <Row name={t("before")} values={measured} stem={flow.stem_over_head} depth={flow.effective_depth} left={before} range={range} />
            {flow.tried.map((change) => (
              <Tried key={change.change} change={change} range={range} />
            ))}
          </tbody>
        </table>
      </div>
      <ul>
        {flow.tried.map(({ change, sentence }) => (
          <li key={change} {...spokenIn(sentence)}>{told(sentence)}</li>
        ))}
      </ul>
      <p class="pale"><code>{t("again", { options: options(flow.tried.map((one) => one.change)) })}</code></p>
    </section>
  );
}

function Tried({ change, range }: { change: TriedChange; range: readonly [number, number] }) {
  const { change: name, log10_gradient_rms: values, stem_over_head: stem, effective_depth: depth, findings } = change;
  return <Row name={name} isCode values={values.map(decoded)} stem={stem} depth={depth} left={findings} range={range} />;
}

interface RowProps {
  readonly name: string;
  readonly isCode?: boolean;
  readonly values: readonly (number | null)[];
  readonly stem: Num;
  readonly depth: Num;
  readonly left: readonly string[] | null;
  readonly range: readonly [number, number];
}

const finite = (values: readonly (number | null)[]): number[] => values.filter((value): value is number => value !== null && Number.isFinite(value));

function Row({ name, isCode = false, values, stem, depth, left, range }: RowProps) {
  const arrived = values.filter((value): value is number => value !== null);
  return (
    <tr>
      <th scope="row">{isCode ? <code>{name}</code> : name}</th>
      <td>{fromLog10(arrived.length ? Math.min(...arrived) : null, 2)}</td>
      <td>{fromLog10(arrived.length ? Math.max(...arrived) : null, 2)}</td>
      <td>{short(decoded(stem), 3)}</td>
      <td>{short(decoded(depth), 3)}</td>
      <td class="left">{left === null ? t("backward") : left.length ? left.map(kindText).join(", ") : t("none")}</td>
      <td><Sparkline name={name} values={values} range={range} /></td>
    </tr>
  );
}

/** A profile as wide as a word, on the decades of all profiles in the table. */
function Sparkline({ name, values, range: [low, high] }: { name: string; values: readonly (number | null)[]; range: readonly [number, number] }) {
  if (finite(values).length < 2) return null;
  const points = values.flatMap((value, i) => {
    if (value === null || !Number.isFinite(value)) return [];
    return [`${(100 * i) / (values.length - 1)},${22 - (20 * (value - low)) / Math.max(high - low, 1)}`];
  });
  return (
    <svg class="sparkline" viewBox="0 0 100 24" width="100" height="24" role="img" aria-label={t("sparkline", { change: name })}>
      <polyline points={points.join(" ")} />
    </svg>
  );
}
