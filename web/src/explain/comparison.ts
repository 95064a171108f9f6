/** Three nets of the same plan: three stages of n blocks, two convolutions one after the other in each. */
import { type Bill, denseNet, inceptionNet, resnet, totalOf } from "./netParameters";

export const NETS = ["resnet", "inception", "dense"] as const;
export type Net = (typeof NETS)[number];

/** What is held equal besides the plan: nothing (the width is the reader's), or the channels that reach the head. */
export const EQUALS = ["plan", "channels"] as const;
export type Equal = (typeof EQUALS)[number];

export interface Comparison {
  readonly bills: Readonly<Record<Net, Bill>>;
  readonly totals: Readonly<Record<Net, number>>;
  /** Channels of the first stage of ResNet and the Inception net. */
  readonly width: number;
}

/** The width whose last stage, four times as wide, is nearest to the dense net's output; even, as zero padding needs. */
export function matchingWidth(n: number, growth: number): number {
  return Math.max(2, 2 * Math.round(denseNet(n, growth).channels / 8));
}

export function comparison(n: number, growth: number, chosenWidth: number, equal: Equal): Comparison {
  const width = equal === "channels" ? matchingWidth(n, growth) : chosenWidth;
  const bills = { resnet: resnet(n, width), inception: inceptionNet(n, width), dense: denseNet(n, growth) };
  const totals = { resnet: totalOf(bills.resnet), inception: totalOf(bills.inception), dense: totalOf(bills.dense) };
  return { bills, totals, width };
}
