/** A sheet to print: questions with blanks, and the answers on a page of their own. Another number, other questions. */
import { CircuitView } from "../circuit/CircuitView";
import { texts } from "../core/i18n";
import { flagParam, wholeParam } from "../core/state";
import { NumberField, Toggle } from "../ui/Field";
import { Scroll } from "../ui/Figure";
import { type Question, questions } from "./sheetQuestions";

const BLANK = "____";
const t = texts({
  en: {
    title: "Backpropagation by hand: sheet {n}", answers: "Answers to sheet {n}", back: "Back to the page", number: "Sheet number",
    withAnswers: "With answers, on a page of their own", print: "Print", name: "Name", date: "Date",
    about: "Every number makes another sheet, and always the same one. {n} questions, about half an hour.",
    drawing: "The circuit of question {n}",
    multiply: "z = x × y with x = {x} and y = {y}. A gradient of {u} arrives at z. x gets ____, y gets ____.",
    add: "z = x + y with x = {x} and y = {y}. A gradient of {u} arrives at z. x gets ____, y gets ____.",
    max: "z = max(x, y) with x = {x} and y = {y}. A gradient of {u} arrives at z. x gets ____, y gets ____.",
    fork: "A value x is used by two gates. One sends back {a}, the other {b}. The gradient at x is ____.",
    forward: "A plain block: x = {x}, w1 = {w1}, w2 = {w2}, w3 = {w3}, w4 = {w4}; each gate multiplies. Forward: z1 = ____, z2 = ____, z3 = ____, z4 = ____.",
    backward: "The same block: a gradient of 1 arrives at z4. x gets ____, w1 gets ____.",
    residual: "Now an express lane leads around it: h = z4 + x, and a gradient of 1 arrives at h. x gets ____ over the lane and ____ through the block, in all ____. w1 gets ____.",
    chain: "{n} blocks in a row, each multiplies by {factor}. Of a gradient of 1, x gets ____ without skips, and ____ with a skip around each block.",
    paths: "{n} blocks, each with a skip. From the loss to x there are ____ paths; ____ of them pass exactly {k} of the blocks.",
    depth: "{n} blocks with skips; each block hands back {share} of what it gets, each skip all of it. The gradient passed n·F / (1 + F) blocks on average: ____.",
    dense: "A dense block of 3 layers: each multiplies the sum of x and all earlier outputs by w = {w}. Of a gradient of 1 at the last layer, x gets ____.",
    norm: "In a wide plain net with BatchNorm the energy of the gradient grows by π / (π − 1) ≈ {growth} per layer, going back. After {n} layers it has grown ____ times.",
  },
  zh: {
    title: "手算反向传播：练习 {n}", answers: "练习 {n} 的答案", back: "返回本页", number: "练习编号",
    withAnswers: "附答案，另起一页", print: "打印", name: "姓名", date: "日期",
    about: "不同的编号得到不同的练习，同一编号总是同一份。共 {n} 题，约半小时。",
    drawing: "第 {n} 题的电路图",
    multiply: "z = x × y，x = {x}，y = {y}。到达 z 的梯度是 {u}。x 得到 ____，y 得到 ____。",
    add: "z = x + y，x = {x}，y = {y}。到达 z 的梯度是 {u}。x 得到 ____，y 得到 ____。",
    max: "z = max(x, y)，x = {x}，y = {y}。到达 z 的梯度是 {u}。x 得到 ____，y 得到 ____。",
    fork: "一个量 x 被两个门使用。一个传回 {a}，另一个传回 {b}。x 的梯度是 ____。",
    forward: "普通块：x = {x}，w1 = {w1}，w2 = {w2}，w3 = {w3}，w4 = {w4}，每个门都做乘法。前向传播：z1 = ____，z2 = ____，z3 = ____，z4 = ____。",
    backward: "同一个块：到达 z4 的梯度是 1。x 得到 ____，w1 得到 ____。",
    residual: "现在加一条绕过它的快捷通道：h = z4 + x，到达 h 的梯度是 1。x 从快捷通道得到 ____，经过块得到 ____，一共 ____。w1 得到 ____。",
    chain: "{n} 个块串联，每个块乘以 {factor}。梯度 1 传回来，没有快捷通道时 x 得到 ____；每个块都有快捷通道时得到 ____。",
    paths: "{n} 个块，每个都有快捷通道。从损失到 x 共有 ____ 条路径，其中恰好经过 {k} 个块的有 ____ 条。",
    depth: "{n} 个带快捷通道的块；每个块把收到的梯度乘以 {share} 传回，快捷通道原样传回。梯度平均经过 n·F / (1 + F) 个块：____。",
    dense: "3 层的稠密块：每层把 x 与之前所有输出之和乘以 w = {w}。最后一层的梯度是 1，x 得到 ____。",
    norm: "在带 BatchNorm 的宽普通网络里，梯度的能量每往回一层就增大为 π / (π − 1) ≈ {growth} 倍。{n} 层之后增大为 ____ 倍。",
  },
});

const seed = wholeParam("sheet.number", 1, 1, 9999);
const withAnswers = flagParam("sheet.answers", true);

export function Sheet() {
  const asked = questions(seed.value);
  const n = seed.value;
  return (
    <div class="sheet" id="sheet" tabIndex={-1}>
      <p class="no-print">
        <a href="#gate">{t("back")}</a>
      </p>
      <div class="controls no-print">
        <NumberField label={t("number")} value={n} onChange={seed.set} step={1} />
        <Toggle label={t("withAnswers")} on={withAnswers.value} onChange={withAnswers.set} />
        <button type="button" class="primary" onClick={() => print()}>
          {t("print")}
        </button>
        <p class="pale">{t("about", { n: asked.length })}</p>
      </div>
      <section aria-labelledby="sheet-title">
        <h1 id="sheet-title">{t("title", { n })}</h1>
        <p class="name-line">
          <span>{t("name")} <Blank wide /></span>
          <span>{t("date")} <Blank /></span>
        </p>
        <List asked={asked} isSolved={false} />
      </section>
      {withAnswers.value && (
        <section class="answers" aria-labelledby="answers-title">
          <h2 id="answers-title">{t("answers", { n })}</h2>
          <List asked={asked} isSolved />
        </section>
      )}
    </div>
  );
}

function List({ asked, isSolved }: { asked: readonly Question[]; isSolved: boolean }) {
  return (
    <ol>
      {asked.map((question, i) => (
        <li key={question.key}>
          {question.walked && (
            <Scroll label={t("drawing", { n: i + 1 })}>
              <CircuitView walked={question.walked} k={isSolved ? question.walked.steps.length : 0} label={t("drawing", { n: i + 1 })} />
            </Scroll>
          )}
          <Filled question={question} isSolved={isSolved} />
        </li>
      ))}
    </ol>
  );
}

/** The question's text; each blank is a line to write on, or the answer. */
function Filled({ question, isSolved }: { question: Question; isSolved: boolean }) {
  const parts = t(question.key, question.slots).split(BLANK);
  return (
    <>
      {parts.map((part, i) => (
        <span key={i}>
          {part}
          {i < parts.length - 1 && (isSolved ? <strong class="answer">{question.answers[i]}</strong> : <Blank />)}
        </span>
      ))}
    </>
  );
}

function Blank({ wide = false }: { wide?: boolean }) {
  return <span class={wide ? "blank wide" : "blank"} role="img" aria-label="____" />;
}
