/** A report from top to bottom: the finding, what would cure it, then the linked views. */
import { useEffect, useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { Live } from "../ui/Live";
import { Choice, Select } from "../ui/Field";
import { Settings } from "../ui/Settings";
import { SideBySide } from "./Compare";
import { at, type Report, type Spoken } from "./data";
import { BlockView } from "./block/BlockView";
import { Cures, Numbers } from "./Cures";
import { Details } from "./Details";
import { flowView } from "./flowview";
import { GraphView } from "./graph/GraphView";
import { Glossary } from "./Glossary";
import { Matrices } from "./Matrix";
import { Paths } from "./Paths";
import { type AnyRecord, type Flow, isFlow, isPaths } from "./records";
import { Profile } from "./Profile";
import { Nets } from "./Run";
import { isComparison, isRun } from "./runs";
import { recordIndex } from "./state";
import { Strip } from "./Strip";
import { TreeTable } from "./TreeTable";
import { WatchPage } from "./Watch";
import { isWatch } from "./watched";

const t = texts({
  en: { record: "Record", together: "Side by side", next: "What to try next", measured: "How this was measured", facts: "In numbers", unseen: "Not seen", complete: "This file is complete: it loads nothing. The records it shows are inside it, as JSON." },
  zh: { record: "记录", together: "并排比较", next: "下一步可以试", measured: "测量方式", facts: "数据", unseen: "未观测到", complete: "此文件是完整的：不加载任何外部内容。所显示的记录以 JSON 的形式保存在文件里。" },
});

export function Page({ report }: { report: Report }) {
  useEffect(() => {
    document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
    document.title = report.title;
  });
  const index = Math.min(recordIndex.value, report.spoken.length - 1);
  const spoken = report.spoken[index];
  const record = spoken && at<AnyRecord>(report.records, spoken.place);
  return (
    <>
      <header>
        <p class="brand">gradpath</p>
        <Settings hasRamp />
      </header>
      <main>
        <Records report={report} index={index} />
        {record && spoken && <RecordPage record={record} spoken={spoken} records={report.records} />}
      </main>
      <footer>
        <Glossary />
        <p class="pale">{t("complete")}</p>
      </footer>
      <Live />
    </>
  );
}

/** Which of several: a bar while they are few. */
function Records({ report, index }: { report: Report; index: number }) {
  const choices = report.spoken.map(({ name }, i) => [String(i), name || t("together")] as const);
  if (choices.length < 2) return null;
  const Field = choices.length > MOST_BUTTONS || choices.some(([, name]) => name.length > LONGEST_BUTTON) ? Select : Choice;
  return (
    <div class="controls records">
      <Field legend={t("record")} choices={choices} value={String(index)} onChange={(name: string) => recordIndex.set(Number(name))} />
    </div>
  );
}
const MOST_BUTTONS = 5;
const LONGEST_BUTTON = 40;

function RecordPage({ record, spoken, records }: { record: AnyRecord; spoken: Spoken; records: readonly AnyRecord[] }) {
  return (
    <>
      <h1>{spoken.headline}</h1>
      <Labelled pairs={spoken.details} />
      {isFlow(record) && <FlowPage flow={record} spoken={spoken} />}
      {isPaths(record) && <Paths record={record} />}
      {spoken.pairs.length > 0 && <SideBySide records={records} spoken={spoken} />}
      {isComparison(record) && <Nets nets={record.nets} />}
      {isRun(record) && <Nets nets={[record]} />}
      {isWatch(record) && <WatchPage watch={record} />}
      <Sentences title={t("facts")} sentences={spoken.facts} />
      <Sentences title={t("unseen")} sentences={spoken.unseen} />
      <Next steps={spoken.next} />
      {spoken.measured.length > 0 && (
        <details>
          <summary>{t("measured")}</summary>
          <Labelled pairs={spoken.measured} />
        </details>
      )}
    </>
  );
}

function FlowPage({ flow, spoken }: { flow: Flow; spoken: Spoken }) {
  const view = useMemo(() => flowView(flow, spoken.layout), [flow, spoken]);
  return (
    <>
      <Numbers view={view} />
      <Cures flow={flow} />
      <div class="views">
        <div class="wide">
          <Strip view={view} />
        </div>
        <GraphView view={view} />
        <div class="column">
          <Profile view={view} />
          <Details view={view}>
            <BlockView view={view} />
          </Details>
        </div>
        <div class="wide">
          <Matrices reuse={flow.reuse} />
        </div>
        <div class="wide">
          <TreeTable view={view} />
        </div>
      </div>
    </>
  );
}

function Sentences({ title, sentences }: { title: string; sentences: readonly string[] }) {
  if (!sentences.length) return null;
  return (
    <section>
      <h2>{title}</h2>
      <ul>
        {sentences.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
    </section>
  );
}

function Labelled({ pairs }: { pairs: Spoken["details"] }) {
  if (!pairs.length) return null;
  return (
    <dl class="details">
      {pairs.map(([label, text]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

/** 'command  # why' lines. */
function Next({ steps }: { steps: readonly string[] }) {
  if (!steps.length) return null;
  return (
    <section>
      <h2>{t("next")}</h2>
      <ul class="next">
        {steps.map((step) => {
          const [command, why] = step.split("  # ");
          return (
            <li key={step}>
              <code>{command}</code> {why}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
