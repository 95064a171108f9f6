/** Exact parameter counts: weights of convolutions, scale and shift of norms, weights and biases of the head.
 *
 * The same integers as `gradpath.nets.parameters` gives for what torch builds (test/golden/nets.json). A convolution in
 * front of or behind a norm has no bias. Nets for CIFAR: 3×3 stem, three stages, 10 classes.
 */

const STAGES = 3;
const CLASSES = 10;
const IMAGE = 3;

const conv = (channelsIn: number, channelsOut: number, size: number) => size ** 2 * channelsIn * channelsOut;
const norm = (channels: number) => 2 * channels;
const linear = (channels: number, classes: number) => (channels + 1) * classes;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Parameters of the parts of a net, the blocks by stage; a dense net's transitions stand apart. */
export interface Bill {
  readonly blocks: readonly (readonly number[])[];
  /** Stem, transitions, head. */
  readonly rest: number;
  /** Channels that leave the last stage. */
  readonly channels: number;
}

export const totalOf = ({ blocks, rest }: Bill): number => rest + blocks.flat().reduce((sum, one) => sum + one, 0);

/** Two 3×3 convolutions with norms; a shortcut without parameters (option A, He et al. 2016). */
export function residualBlock(channelsIn: number, channelsOut: number): number {
  return conv(channelsIn, channelsOut, 3) + conv(channelsOut, channelsOut, 3) + 2 * norm(channelsOut);
}

/** Norm, 1×1 to 4k channels, norm, 3×3 to k channels (Huang et al. 2017). */
export function denseLayer(channelsIn: number, growth: number): number {
  return norm(channelsIn) + conv(channelsIn, 4 * growth, 1) + norm(4 * growth) + conv(4 * growth, growth, 3);
}

/** Norm, and 1×1 to half of the channels. */
export function transition(channelsIn: number): number {
  return norm(channelsIn) + conv(channelsIn, Math.floor(channelsIn / 2), 1);
}

/** Inception (3a) of GoogLeNet with all its widths in proportion, a norm after each convolution (Szegedy et al. 2015). */
export function inceptionBlock(channelsIn: number, channelsOut: number): number {
  const of = (part: number) => Math.max(1, Math.floor((channelsOut * part) / 256));
  const [one, three, five] = [of(64), of(128), of(32)];
  const pooled = Math.max(1, channelsOut - one - three - five);
  const unit = (a: number, b: number, size: number) => conv(a, b, size) + norm(b);
  return (
    unit(channelsIn, one, 1) + unit(channelsIn, of(96), 1) + unit(of(96), three, 3) +
    unit(channelsIn, of(16), 1) + unit(of(16), five, 5) + unit(channelsIn, pooled, 1)
  );
}

/** Three stages of n blocks with width, 2·width, 4·width channels. */
function stages(n: number, width: number, block: (channelsIn: number, channelsOut: number) => number): Bill {
  let before = width;
  const blocks = upTo(STAGES).map((stage) =>
    upTo(n).map(() => {
      const cost = block(before, width * 2 ** stage);
      before = width * 2 ** stage;
      return cost;
    }),
  );
  return { blocks, rest: conv(IMAGE, width, 3) + norm(width) + linear(before, CLASSES), channels: before };
}

/** ResNet, or its plain twin: 6n+2 layers. */
export const resnet = (n: number, width: number): Bill => stages(n, width, residualBlock);

/** The same stages of Inception modules: along their 3×3 branch 6n+2 layers. */
export const inceptionNet = (n: number, width: number): Bill => stages(n, width, inceptionBlock);

/** DenseNet-BC: 6n+4 layers, a stem of 2k channels, half of the channels kept between stages. */
export function denseNet(n: number, growth: number): Bill {
  let channels = 2 * growth;
  let rest = conv(IMAGE, channels, 3);
  const blocks = upTo(STAGES).map((stage) => {
    if (stage > 0) {
      rest += transition(channels);
      channels = Math.floor(channels / 2);
    }
    return upTo(n).map(() => {
      const cost = denseLayer(channels, growth);
      channels += growth;
      return cost;
    });
  });
  return { blocks, rest: rest + norm(channels) + linear(channels, CLASSES), channels };
}

/** A DenseNet for ImageNet: 7×7 stem of 2k channels, four blocks, 1000 classes (Huang et al. 2017, Table 1). */
export function imageNetDenseNet(layers: readonly number[], growth: number): Bill {
  let channels = 2 * growth;
  let rest = conv(IMAGE, channels, 7) + norm(channels);
  const blocks = layers.map((count, stage) => {
    if (stage > 0) {
      rest += transition(channels);
      channels = Math.floor(channels / 2);
    }
    return upTo(count).map(() => {
      const cost = denseLayer(channels, growth);
      channels += growth;
      return cost;
    });
  });
  return { blocks, rest: rest + norm(channels) + linear(channels, 1000), channels };
}

/** The published nets, with their top-1 error on ImageNet in percent, one crop, as printed (Huang et al. 2017 and its code). */
export const PUBLISHED = [
  { name: "DenseNet-121", layers: [6, 12, 24, 16], growth: 32, error: "25.02" },
  { name: "DenseNet-169", layers: [6, 12, 32, 32], growth: 32, error: "23.80" },
  { name: "DenseNet-201", layers: [6, 12, 48, 32], growth: 32, error: "22.58" },
  { name: "DenseNet-161", layers: [6, 12, 36, 24], growth: 48, error: "22.2" },
] as const;
