/** A report from top to bottom: the finding, what would cure it, then the linked views. */
import { useEffect, useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { Live } from "../ui/Live";
import { Choice, Select } from "../ui/Field";
import { Settings } from "../ui/Settings";
import { SideBySide } from "./Compare";
import { at, type Report, type Spoken } from "./data";
import { Cures, Numbers } from "./Cures";
import { Details } from "./Details";
import { flowView, layerNamed } from "./flowview";
import { GraphView } from "./graph/GraphView";
import { Gist } from "./Gist";
import { Glossary } from "./Glossary";
import { LayerTable } from "./LayerTable";
import { Matrices } from "./Matrix";
import { Paths } from "./Paths";
import { PlanPage } from "./PlanPage";
import { isPlan } from "./plans";
import { type AnyRecord, type Flow, isFlow, isPaths } from "./records";
import { Profile } from "./Profile";
import { Nets } from "./Run";
import { isComparison, isRun } from "./runs";
import { recordIndex, select } from "./state";
import { Strip } from "./Strip";
import { languageOf, spokenIn, told } from "./told";
import { WatchPage } from "./Watch";
import { isWatch } from "./watched";

const t = texts({
  en: { record: "Record", together: "Side by side", next: "What to try next", measured: "How this was measured", facts: "In numbers", seen: "What was seen",
    where: "where", why: "why", cure: "cure", tried: "tried", also: "also", net: "net", setting: "setting", unseen: "Not seen", complete: "This file is complete: it loads nothing. The records it shows are inside it, as JSON." },
  zh: { record: "记录", together: "并排比较", next: "下一步可以试", measured: "测量方式", facts: "数据", seen: "观察到的现象",
    where: "位置", why: "原因", cure: "解决办法", tried: "已模拟", also: "另有", net: "网络", setting: "设置", unseen: "未观测到", complete: "此文件是完整的：不加载任何外部内容。所显示的记录以 JSON 的形式保存在文件里。" },
});

export function Page({ report }: { report: Report }) {
  useEffect(() => {
    document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
    document.title = told(report.title);
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
  const choices = report.spoken.map(({ name }, i) => [String(i), told(name) || t("together")] as const);
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

const LONG_HEADLINE = 120;

function RecordPage({ record, spoken, records }: { record: AnyRecord; spoken: Spoken; records: readonly AnyRecord[] }) {
  return (
    <>
      <h1 {...spokenIn(spoken.headline)} class={spoken.headline.length > LONG_HEADLINE ? "long" : ""}>{told(spoken.headline)}</h1>
      {isFlow(record) && languageOf(spoken.headline) !== language() && <Gist flow={record} />}
      <Labelled pairs={spoken.details} flow={isFlow(record) ? record : null} />
      {isFlow(record) && <FlowPage flow={record} spoken={spoken} />}
      {isPaths(record) && <Paths record={record} />}
      {spoken.pairs.length > 0 && <SideBySide records={records} spoken={spoken} />}
      {isComparison(record) && <Nets nets={record.nets} />}
      {isRun(record) && <Nets nets={[record]} />}
      {isPlan(record) && <PlanPage plan={record} isSaid={languageOf(spoken.headline) === language()} />}
      {isWatch(record) && <WatchPage watch={record} />}
      {!isFlow(record) && <Said spoken={spoken} title={t(isComparison(record) ? "seen" : "facts")} />}
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
        <div class="column">
          {view.layout ? <GraphView view={view} layout={view.layout} /> : <Profile view={view} />}
          <Said spoken={spoken} />
        </div>
        <div class="column">
          {view.layout && <Profile view={view} />}
          <Details view={view} />
        </div>
        <div class="wide">
          <Matrices reuse={flow.reuse} />
        </div>
        <div class="wide">
          <LayerTable view={view} />
        </div>
      </div>
    </>
  );
}

/** What Python says of a record: its facts, and what was not seen. */
function Said({ spoken, title = t("facts") }: { spoken: Spoken; title?: string }) {
  return (
    <>
      <Sentences title={title} sentences={spoken.facts} />
      <Sentences title={t("unseen")} sentences={spoken.unseen} />
    </>
  );
}

function Sentences({ title, sentences }: { title: string; sentences: readonly string[] }) {
  if (!sentences.length) return null;
  return (
    <section class="panel said">
      <h2>{title}</h2>
      <ul>
        {sentences.map((sentence) => (
          <li key={sentence} {...spokenIn(sentence)}>{told(sentence)}</li>
        ))}
      </ul>
    </section>
  );
}

const LABELS = ["where", "why", "cure", "tried", "also", "net", "setting"] as const;

/** Python's labels in the reader's language, its sentences as they are. A place that is a layer can be selected. */
function Labelled({ pairs, flow = null }: { pairs: Spoken["details"]; flow?: Flow | null }) {
  if (!pairs.length) return null;
  return (
    <dl class="details">
      {pairs.map(([label, text], i) => {
        const known = LABELS.find((one) => one === label);
        const layer = label === "where" && flow ? layerNamed(flow, text) : -1;
        return (
          <div key={i}>
            <dt>{known ? t(known) : told(label)}</dt>
            <dd {...spokenIn(text)}>{layer >= 0 ? <button type="button" class="link" onClick={() => select({ what: "layer", index: layer }, text)}>{text}</button> : told(text)}</dd>
          </div>
        );
      })}
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
          const [command, why] = told(step).split("  # ");
          return (
            <li key={step} {...spokenIn(step)}>
              <code>{command}</code> {why}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
