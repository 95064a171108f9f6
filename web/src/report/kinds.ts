/** What a finding can be about, in the reader's language (`FINDING_KINDS` of the record). */
import { texts } from "../core/i18n";

const t = texts({
  en: {
    "not finite": "not finite", "no gradient": "no gradient", vanishing: "vanishing", exploding: "exploding", "starving layer": "starving layer",
    "dead units": "dead units", "saturated units": "saturated units", "silent skip": "silent skip", "silent branch": "silent branch",
    "norm eats the signal": "norm eats the signal", "float16 underflow": "float16 underflow", "float32 underflow": "float32 underflow",
    "shattered gradients": "shattered gradients",
  },
  zh: {
    "not finite": "非有限值", "no gradient": "没有梯度", vanishing: "梯度消失", exploding: "梯度爆炸", "starving layer": "梯度匮乏的层",
    "dead units": "死亡单元", "saturated units": "饱和单元", "silent skip": "无声的跳跃连接", "silent branch": "无声的分支",
    "norm eats the signal": "归一化吞没信号", "float16 underflow": "float16 下溢", "float32 underflow": "float32 下溢",
    "shattered gradients": "破碎梯度",
  },
});

/** The record's own word for a kind that this page does not know. */
export function kindText(kind: string): string {
  return KINDS.has(kind) ? t(kind as Parameters<typeof t>[0]) : kind;
}

const KINDS: ReadonlySet<string> = new Set([
  "not finite", "no gradient", "vanishing", "exploding", "starving layer", "dead units", "saturated units", "silent skip", "silent branch",
  "norm eats the signal", "float16 underflow", "float32 underflow", "shattered gradients",
]);
