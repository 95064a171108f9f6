/** 3. The same block with the express lane: the article's three numbers, each named for what it is. */
import { residualBlock } from "../circuit/build";
import { texts } from "../core/i18n";
import { bracketed, show } from "../core/numbers";
import { Figure } from "../ui/Figure";
import { Say } from "../ui/Say";
import { LeafFields } from "./LeafFields";
import { isAsking, lesson, walked, Walkthrough } from "./Lesson";
import { NudgeTable } from "./NudgeTable";
import { comparison, skipParts, type SkipParts, WIRES } from "./skipParts";

const t = texts({
  en: {
    title: "The skip: the same block with an express lane",
    lead:
      "One more wire: h(x) = F(x) + x. On the way back the add gate copies the gradient to both of its inputs, so x is told twice: " +
      "**1** over the skip, whole, and **0.0001** through the block. Together **1.0001**, where it was 0.0001.",
    drawing: "The residual block as a circuit: x, four multiply gates with their weights, and an add gate that x also reaches directly",
    list: "The article's list, [{skip}, {block}, {weight}], holds three different things",
    skip: "what the skip brings: its part of dL/dx",
    block: "what the block brings: its part of dL/dx",
    weight: "the first weight's own gradient, dL/dw1: another quantity, not to be added to these",
    sum: "**A + B** = {skip} + {block} = **{total}** = dL/dx, and that is all that reaches x.",
    changes: "What the skip changes",
    same: "The weights get what they got before: the add gate copies, so the block is told {upstream} with or without the skip.",
    earlier: "What changes is what **earlier** blocks receive. They stand in front of x, and get {total} instead of {without}.",
    gradient: "gradient", without: "plain block", withSkip: "with the skip", effect: "effect",
    unchanged: "unchanged", more: "this goes on to earlier blocks",
  },
  zh: {
    title: "跳跃连接：同样的块，加一条快捷通道",
    lead:
      "只多一根线：h(x) = F(x) + x。反向传播时，加法门把梯度复制给两个输入，于是 x 收到两份：" +
      "经快捷通道原样到达的 **1**，以及穿过块内的 **0.0001**。合计 **1.0001**，而原来只有 0.0001。",
    drawing: "残差块的电路图：x、四个带权重的乘法门，以及一个加法门，x 也直接连到这个加法门",
    list: "文章中的列表 [{skip}, {block}, {weight}] 其实是三个不同的量",
    skip: "快捷通道带来的：dL/dx 的一部分",
    block: "块内带来的：dL/dx 的另一部分",
    weight: "第一个权重自己的梯度 dL/dw1：是另一个量，不与前两个相加",
    sum: "**A + B** = {skip} + {block} = **{total}** = dL/dx，到达 x 的就是这么多。",
    changes: "跳跃连接改变了什么",
    same: "各权重得到的和原来一样：加法门是复制，不管有没有跳跃连接，块收到的都是 {upstream}。",
    earlier: "变化的是**更前面**的块收到的梯度。它们在 x 之前，现在收到 {total}，而不是 {without}。",
    gradient: "梯度", without: "普通块", withSkip: "加跳跃连接", effect: "结果",
    unchanged: "不变", more: "继续传给更前面的块",
  },
});

const block = lesson("skip", residualBlock());
const TAGS = { [WIRES.skip]: "A", [WIRES.block]: "B", [WIRES.weight]: "C" };

export function Skip() {
  const now = walked(block);
  const parts = skipParts(now);
  return (
    <Figure
      id="skip"
      title={t("title")}
      lead={t("lead")}
      controls={<LeafFields circuit={block.circuit} set={block.settings} />}
      after={now.broken ? null : <NudgeTable circuit={block.circuit} set={block.settings.value} walked={now} />}
    >
      <Walkthrough lesson={block} label={t("drawing")} tags={TAGS} />
      {!now.broken && !isAsking(block, now) && (
        <div class="beside">
          <Named parts={parts} />
          <Changes total={parts.total} />
        </div>
      )}
    </Figure>
  );
}

/** A, B and C: what each number is. */
function Named({ parts }: { parts: SkipParts }) {
  const { skip, block, weight, total } = parts;
  const slots = { skip: show(skip), block: show(block), weight: show(weight) };
  return (
    <div>
      <h3>{t("list", slots)}</h3>
      <ol class="named">
        {(["skip", "block", "weight"] as const).map((name, i) => (
          <li key={name}>
            <span class="letter" aria-hidden="true">
              {"ABC"[i]}
            </span>
            <strong class="gradient">{slots[name]}</strong>
            <span>{t(name)}</span>
          </li>
        ))}
      </ol>
      <p>
        <Say text={t("sum", { skip: show(skip), block: bracketed(show(block)), total: show(total) })} />
      </p>
    </div>
  );
}

function Changes({ total }: { total: number }) {
  const rows = comparison(block.settings.value);
  const without = rows.find((row) => row.name === "x")?.without ?? NaN;
  return (
    <div>
      <h3>{t("changes")}</h3>
      <div class="table" role="region" aria-label={t("changes")} tabIndex={0}>
        <table class="wraps">
          <thead>
            <tr>
              <th scope="col" class="left">{t("gradient")}</th>
              <th scope="col">{t("without")}</th>
              <th scope="col">{t("withSkip")}</th>
              <th scope="col" class="left">{t("effect")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => {
              const isSame = show(row.without) === show(row.withSkip);
              return (
                <tr key={row.name} class={isSame ? "" : "changed"}>
                  <th scope="row">dL/d{row.name}</th>
                  <td>{show(row.without)}</td>
                  <td>{show(row.withSkip)}</td>
                  <td class="left">{isSame ? t("unchanged") : t("more")}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <p>{t("same", { upstream: show(block.circuit.upstream) })}</p>
      <p>
        <Say text={t("earlier", { total: show(total), without: show(without) })} />
      </p>
    </div>
  );
}
