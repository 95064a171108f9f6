/** The block's circuit as a table; its layers can be selected from it by keyboard. */
import { texts } from "../../core/i18n";
import { decoded, fromLog10 } from "../../core/numbers";
import { type FlowView, layerName } from "../flowview";
import { Term } from "../Glossary";
import { select } from "../state";
import type { Block, Stop } from "./block";
import { shareText } from "./shares";

const t = texts({
  en: { table: "The circuit as a table", part: "part", value: "activation (RMS)", gradient: "gradient (norm)", share: "share", x: "x, sum of its uses", several: "side by side: {name}", gap: "{n} parts not drawn" },
  zh: { table: "电路图的数据表", part: "部分", value: "激活值（均方根）", gradient: "梯度（范数）", share: "占比", x: "x（各处使用之和）", several: "并列：{name}", gap: "有 {n} 个部分未画出" },
});

type Line = readonly [key: string, stop: Stop | null, name: string, value: string, gradient: string, share: string];

export function BlockTable({ view, block }: { view: FlowView; block: Block }) {
  return (
    <details class="numbers">
      <summary>{t("table")}</summary>
      <div class="table" role="region" aria-label={t("table")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("part")}</th>
              <th scope="col">{t("value")}</th>
              <th scope="col">{t("gradient")}</th>
              <th scope="col"><Term term="share" name={t("share")} /></th>
            </tr>
          </thead>
          <tbody>
            {linesOf(view, block).map(([key, stop, name, value, gradient, share]) => (
              <tr key={key}>
                <th scope="row"><Name view={view} stop={stop} name={name} /></th>
                <td>{value}</td>
                <td>{gradient}</td>
                <td>{share}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function linesOf(view: FlowView, block: Block): Line[] {
  const fork = view.flow.forks[block.fork];
  const ways = [...(block.use ? [{ edge: block.use, stops: block.main.slice(1, -1) }] : []), ...block.lanes];
  if (!fork) return block.main.slice(1).map((stop, i) => stopLine(view, stop, String(i)));
  const norm = (value: Parameters<typeof decoded>[0]) => fromLog10(decoded(value));
  return [
    ["x", null, t("x"), "", norm(fork.log10_norm), ""],
    ...ways.flatMap(({ edge, stops }, i): Line[] => [
      [`${i}`, null, `${edge.kind} → ${edge.consumer}`, "", norm(edge.log10_norm), shareText(fork, edge, 1)],
      ...stops.map((stop, j) => stopLine(view, stop, `${i}.${j}`)),
    ]),
  ];
}

function stopLine(view: FlowView, stop: Stop, key: string): Line {
  const layer = view.flow.layers[stop.layer];
  const name = stop.kind === "several" ? t("several", { name: stop.name }) : stop.kind === "gap" ? t("gap", { n: stop.name }) : stop.name;
  if (!layer) return [key, stop, name, "", "", ""];
  return [key, stop, layerName(layer), fromLog10(decoded(layer.log10_activation_rms)), fromLog10(decoded(layer.log10_gradient_norm)), ""];
}

function Name({ view, stop, name }: { view: FlowView; stop: Stop | null; name: string }) {
  const layer = view.flow.layers[stop?.layer ?? -1];
  if (!stop || !layer) return <>{name}</>;
  return (
    <button type="button" class="link" onClick={() => select({ what: "layer", index: stop.layer }, name)}>
      {name}
    </button>
  );
}
