/** Everything as a table: the module tree with its numbers; sortable, searchable, fast at 3,000 rows. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { texts } from "../core/i18n";
import { fromLog10, percent } from "../core/numbers";
import { save } from "../core/save";
import { textParam } from "../core/state";
import type { FlowView } from "./flowview";
import { Term } from "./Glossary";
import { isLogarithmic, type Quantity, valueOf } from "./quantities";
import { type Order, type Row, treeRows, visibleRows } from "./rows";
import { select, selection } from "./state";
import { valueText } from "./Strip";

const t = texts({
  en: {
    title: "All layers as a table", search: "Search", found: "{n} of {all} rows", module: "module", shape: "output", csv: "Save CSV",
    gradient: "gradient RMS", activation: "activation RMS", parameter: "parameter gradient", update: "update ratio", zeros: "zeros",
    name: "layer", open: "Open {name}", close: "Close {name}", sort: "Sort by {name}", hint: "↑ ↓ move, ← → close and open, / searches",
    part: "On paper: {n} of {all} rows; the file that was printed holds them all.",
  },
  zh: {
    title: "全部层的表格", search: "搜索", found: "{all} 行中的 {n} 行", module: "模块", shape: "输出", csv: "保存 CSV",
    gradient: "梯度均方根", activation: "激活值均方根", parameter: "参数梯度", update: "更新比", zeros: "零",
    name: "层", open: "展开 {name}", close: "收起 {name}", sort: "按{name}排序", hint: "↑ ↓ 移动，← → 收起与展开，/ 搜索",
    part: "纸上只有 {all} 行中的 {n} 行；完整内容在所打印的文件里。",
  },
});
const COLUMNS = ["gradient", "activation", "parameter", "update", "zeros"] as const satisfies readonly Quantity[];
const TERMS: Partial<Record<Quantity, string>> = { gradient: "RMS", activation: "RMS", update: "update ratio" };
const ROW_PIXELS = 30;
const SHOWN_ROWS = 16;
const SPARE_ROWS = 6;
const search = textParam("search");

export function TreeTable({ view }: { view: FlowView }) {
  const rows = useMemo(() => treeRows(view), [view]);
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const [order, setOrder] = useState<Order | null>(null);
  const [top, setTop] = useState(0);
  const frame = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const shown = useMemo(() => visibleRows(view, rows, closed, search.value, order), [view, rows, closed, search.value, order]);
  const chosen = selection();
  const isTree = !search.value && !order;

  useEffect(() => {
    const slash = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);

  const toggle = (row: Row, isOpen: boolean) => {
    const next = new Set(closed);
    if (isOpen) next.delete(rows.indexOf(row));
    else next.add(rows.indexOf(row));
    setClosed(next);
  };
  const current = shown.findIndex((row) => chosen?.what === "layer" && row.layer === chosen.index);
  const [cursor, setCursor] = useState(0);
  const at = Math.min(Math.max(cursor, 0), shown.length - 1);
  const go = (to: number) => {
    const place = Math.min(Math.max(to, 0), shown.length - 1);
    const row = shown[place];
    setCursor(place);
    const box = frame.current;
    if (box) box.scrollTop = Math.min(Math.max(box.scrollTop, (place - SHOWN_ROWS + 3) * ROW_PIXELS), place * ROW_PIXELS);
    if (row && row.layer >= 0) select({ what: "layer", index: row.layer }, row.name);
  };
  const key = (event: KeyboardEvent) => {
    const row = shown[at];
    const ways: Record<string, () => void> = {
      ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), Home: () => go(0), End: () => go(shown.length - 1),
      ArrowRight: () => row?.hasChildren && toggle(row, true),
      ArrowLeft: () => row && (row.hasChildren && !closed.has(rows.indexOf(row)) ? toggle(row, false) : go(shown.indexOf(rows[row.parent] ?? row))),
    };
    const way = ways[event.key];
    if (!way || event.target instanceof HTMLButtonElement) return;
    event.preventDefault();
    way();
  };
  const first = Math.max(Math.floor(top / ROW_PIXELS) - SPARE_ROWS, 0);
  const window = shown.slice(first, first + SHOWN_ROWS + 2 * SPARE_ROWS);
  const sortBy = (by: Order["by"]) => setOrder(order?.by !== by ? { by, down: false } : order.down ? null : { by, down: true });
  const csv = () => save(new Blob([asCsv(view, rows)], { type: "text/csv" }), "layers.csv");
  return (
    <section class="panel tree" aria-labelledby="tree-title" id="table">
      <h2 id="tree-title">{t("title")}</h2>
      <div class="controls">
        <label>
          {t("search")}{" "}
          <input type="search" ref={field} value={search.value} onInput={(event) => search.set(event.currentTarget.value)} />
        </label>
        <span class="pale" role="status">{t("found", { n: shown.filter((row) => row.layer >= 0).length, all: rows.filter((row) => row.layer >= 0).length })}</span>
        <button type="button" onClick={csv}>{t("csv")}</button>
      </div>
      <div class="table tall" ref={frame} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
        <table role="treegrid" aria-rowcount={shown.length + 1} aria-label={`${t("title")}. ${t("hint")}`} tabIndex={0} onKeyDown={key}>
          <thead>
            <tr>
              <th scope="col" class="left">{t("name")}</th>
              <Head by="module" name={t("module")} order={order} onSort={sortBy} />
              <th scope="col">{t("shape")}</th>
              {COLUMNS.map((by) => (
                <Head key={by} by={by} name={t(by)} order={order} onSort={sortBy} />
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <tr aria-hidden="true" style={{ height: `${first * ROW_PIXELS}px` }} />}
            {window.map((row, i) => (
              <TableRow
                key={row.name + row.layer} view={view} row={row} index={first + i} isTree={isTree}
                isOpen={!closed.has(rows.indexOf(row))} isChosen={first + i === current} isCursor={first + i === at}
                onToggle={toggle} onSelect={() => go(first + i)}
              />
            ))}
            <tr aria-hidden="true" style={{ height: `${Math.max(shown.length - first - window.length, 0) * ROW_PIXELS}px` }} />
          </tbody>
        </table>
      </div>
      <p class="pale no-print">{t("hint")}</p>
      {window.length < shown.length && <p class="pale print-only">{t("part", { n: window.length, all: shown.length })}</p>}
    </section>
  );
}

interface HeadProps {
  readonly by: Order["by"];
  readonly name: string;
  readonly order: Order | null;
  readonly onSort: (by: Order["by"]) => void;
}

function Head({ by, name, order, onSort }: HeadProps) {
  const sorted = order?.by === by ? (order.down ? "descending" : "ascending") : "none";
  const term = by === "module" ? undefined : TERMS[by];
  return (
    <th scope="col" aria-sort={sorted} class={by === "module" ? "left" : ""}>
      {term ? <Term term={term} name={name} /> : name}{" "}
      <button type="button" class="sort" aria-label={t("sort", { name })} onClick={() => onSort(by)}>
        {sorted === "ascending" ? "▲" : sorted === "descending" ? "▼" : "↕"}
      </button>
    </th>
  );
}

interface TableRowProps {
  readonly view: FlowView;
  readonly row: Row;
  readonly index: number;
  readonly isTree: boolean;
  readonly isOpen: boolean;
  readonly isChosen: boolean;
  readonly isCursor: boolean;
  readonly onToggle: (row: Row, isOpen: boolean) => void;
  readonly onSelect: () => void;
}

function TableRow({ view, row, index, isTree, isOpen, isChosen, isCursor, onToggle, onSelect }: TableRowProps) {
  const layer = view.flow.layers[row.layer];
  const indent = isTree ? `${(row.level - 1) * 1.1}rem` : "0";
  const name = t(isOpen ? "close" : "open", { name: row.name });
  return (
    <tr
      class={[isChosen && "chosen", isCursor && "cursor"].filter(Boolean).join(" ")} aria-rowindex={index + 2} aria-level={row.level}
      aria-selected={isChosen} aria-expanded={row.hasChildren ? isOpen : undefined} onClick={onSelect} style={{ height: `${ROW_PIXELS}px` }}
    >
      <th scope="row" style={{ paddingLeft: `calc(0.4rem + ${indent})` }} title={row.name}>
        {row.hasChildren && isTree && (
          <button type="button" class="toggle-row" aria-label={name} tabIndex={-1} onClick={(event) => { event.stopPropagation(); onToggle(row, !isOpen); }}>
            {isOpen ? "▾" : "▸"}
          </button>
        )}
        {isTree ? row.label : row.name}
      </th>
      <td class="left">{row.module}</td>
      <td>{layer?.shape.join("×")}</td>
      {COLUMNS.map((by) => (
        <td key={by}>{layer ? cellText(valueOf(layer, by), by) : ""}</td>
      ))}
    </tr>
  );
}

function cellText(value: number | null, by: Quantity): string {
  if (by === "gradient") return valueText(value);
  return isLogarithmic(by) ? fromLog10(value, 3) : percent(value);
}

function asCsv(view: FlowView, rows: readonly Row[]): string {
  const quoted = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.flatMap((row) => {
    const layer = view.flow.layers[row.layer];
    return layer ? [[row.name, row.module, layer.shape.join("x"), ...COLUMNS.map((by) => String(valueOf(layer, by) ?? ""))].map(quoted).join(",")] : [];
  });
  const head = ["layer", "module", "shape", ...COLUMNS.map((by) => (isLogarithmic(by) ? `log10_${by}` : by))].join(",");
  return `${[head, ...lines].join("\n")}\n`;
}
