/** A module tree as a table; sortable, searchable, fast at 3,000 rows. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { texts } from "../core/i18n";
import { save } from "../core/save";
import { textParam } from "../core/state";
import { Term } from "./Glossary";
import { type Order, type Row, visibleRows } from "./rows";

const t = texts({
  en: {
    search: "Search", found: "{n} of {all} rows", module: "module", csv: "Save CSV", name: "layer", open: "Open {name}", close: "Close {name}",
    sort: "Sort by {name}", hint: "↑ ↓ move, ← → close and open, / searches",
    part: "On paper: {n} of {all} rows; the file that was printed holds them all.",
  },
  zh: {
    search: "搜索", found: "{all} 行中的 {n} 行", module: "模块", csv: "保存 CSV", name: "层", open: "展开 {name}", close: "收起 {name}",
    sort: "按{name}排序", hint: "↑ ↓ 移动，← → 收起与展开，/ 搜索",
    part: "纸上只有 {all} 行中的 {n} 行；完整内容在所打印的文件里。",
  },
});
const ROW_PIXELS = 30;
const SHOWN_ROWS = 16;
const SPARE_ROWS = 6;
const search = textParam("search");

/** A column beside name and module. */
export interface Column {
  /** Its key, and its head in the CSV file. */
  readonly key: string;
  readonly name: string;
  /** The definition behind its head. */
  readonly term?: string | undefined;
  readonly isFixed?: boolean;
  /** In the tree a module's row stands for all that is in it, in a list for itself. */
  readonly text: (row: Row, isTree: boolean) => string;
  /** Of a layer alone: what it is sorted by, and what stands in the file. */
  readonly value: (row: Row) => number | string | null;
}

interface Props {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column[];
  /** Layers that are selected. */
  readonly isChosen: (layer: number) => boolean;
  readonly onChoose: (row: Row) => void;
}

export function TreeTable({ title, rows, columns, isChosen, onChoose }: Props) {
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const [order, setOrder] = useState<Order | null>(null);
  const [top, setTop] = useState(0);
  const frame = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const shown = useMemo(() => {
    const valueOf = new Map(columns.map((column) => [column.key, column.value]));
    return visibleRows(rows, closed, search.value, order, (row, by) => (by === "module" ? row.module : (valueOf.get(by)?.(row) ?? null)));
  }, [rows, columns, closed, search.value, order]);
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
  const [cursor, setCursor] = useState(0);
  const at = Math.min(Math.max(cursor, 0), shown.length - 1);
  const go = (to: number) => {
    const place = Math.min(Math.max(to, 0), shown.length - 1);
    const row = shown[place];
    setCursor(place);
    const box = frame.current;
    if (box) box.scrollTop = Math.min(Math.max(box.scrollTop, (place - SHOWN_ROWS + 3) * ROW_PIXELS), place * ROW_PIXELS);
    if (row && row.layer >= 0) onChoose(row);
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
  const csv = () => save(new Blob([asCsv(columns, rows)], { type: "text/csv" }), "layers.csv");
  return (
    <section class="panel tree" aria-labelledby="tree-title" id="table">
      <h2 id="tree-title">{title}</h2>
      <div class="controls">
        <label>
          {t("search")}{" "}
          <input type="search" ref={field} value={search.value} onInput={(event) => search.set(event.currentTarget.value)} />
        </label>
        <span class="pale" role="status">{t("found", { n: shown.filter((row) => row.layer >= 0).length, all: rows.filter((row) => row.layer >= 0).length })}</span>
        <button type="button" onClick={csv}>{t("csv")}</button>
      </div>
      <div class="table tall" ref={frame} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
        <table role="treegrid" aria-rowcount={shown.length + 1} aria-label={`${title}. ${t("hint")}`} tabIndex={0} onKeyDown={key}>
          <thead>
            <tr>
              <th scope="col" class="left">{t("name")}</th>
              <Head by="module" name={t("module")} order={order} onSort={sortBy} />
              {columns.map((column) =>
                column.isFixed ? (
                  <th key={column.key} scope="col">{column.name}</th>
                ) : (
                  <Head key={column.key} by={column.key} name={column.name} term={column.term} order={order} onSort={sortBy} />
                ),
              )}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <tr aria-hidden="true" style={{ height: `${first * ROW_PIXELS}px` }} />}
            {window.map((row, i) => (
              <TableRow
                key={row.name + row.layer} columns={columns} row={row} index={first + i} isTree={isTree}
                isOpen={!closed.has(rows.indexOf(row))} isChosen={row.layer >= 0 && isChosen(row.layer)} isCursor={first + i === at}
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
  readonly by: string;
  readonly name: string;
  readonly term?: string | undefined;
  readonly order: Order | null;
  readonly onSort: (by: string) => void;
}

function Head({ by, name, term, order, onSort }: HeadProps) {
  const sorted = order?.by === by ? (order.down ? "descending" : "ascending") : "none";
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
  readonly columns: readonly Column[];
  readonly row: Row;
  readonly index: number;
  readonly isTree: boolean;
  readonly isOpen: boolean;
  readonly isChosen: boolean;
  readonly isCursor: boolean;
  readonly onToggle: (row: Row, isOpen: boolean) => void;
  readonly onSelect: () => void;
}

function TableRow({ columns, row, index, isTree, isOpen, isChosen, isCursor, onToggle, onSelect }: TableRowProps) {
  const indent = isTree ? `${(row.level - 1) * 1.1 + (row.hasChildren ? 0 : 1.5)}rem` : "0"; // a leaf has no button before its name
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
      {columns.map((column) => (
        <td key={column.key}>{column.text(row, isTree)}</td>
      ))}
    </tr>
  );
}

function asCsv(columns: readonly Column[], rows: readonly Row[]): string {
  const quoted = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const layers = rows.filter((row) => row.layer >= 0);
  const lines = layers.map((row) => [row.name, row.module, ...columns.map((column) => String(column.value(row) ?? ""))].map(quoted).join(","));
  return `${[["layer", "module", ...columns.map((column) => column.key)].join(","), ...lines].join("\n")}\n`;
}
