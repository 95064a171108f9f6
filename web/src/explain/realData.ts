/** From the recorded runs to what the panels draw: pure functions, so that they can be tested without a browser. */
import type { Gallery, GalleryNet, Net, Paths, WidthCell } from "./data";
import type { Series } from "../ui/Plot";

export type Quantity = "gradient" | "activation";

/** When the nets were looked at: steps, the same for all. */
export function moments(nets: readonly Net[]): number[] {
  return [...new Set(nets.flatMap((net) => net.looks.map((look) => look.step)))].sort((a, b) => a - b);
}

/** The epochs done at a step, where it is the end of one; else null. */
export function epochAt(net: Net, step: number): number | null {
  return step % net.steps_per_epoch === 0 ? step / net.steps_per_epoch : null;
}

const profile = (net: Net, step: number, quantity: Quantity): readonly (number | null)[] => {
  const look = net.looks.find((one) => one.step === step);
  return look?.[quantity === "gradient" ? "log10_gradient_norm" : "log10_activation_rms"] ?? [];
};

/** A line per net: layer 1 … L against log10 of the quantity. Looks go by place among all nets, so none changes. */
export function profiles(nets: readonly Net[], shown: ReadonlySet<number>, step: number, quantity: Quantity, name: (net: Net) => string): Series[] {
  return nets.flatMap((net, look) => {
    const points = profile(net, step, quantity).map((value, i) => [i + 1, value] as const);
    return shown.has(look) && points.length ? [{ name: name(net), look, points }] : [];
  });
}

/** One axis for all moments, so that a line that moves has moved. */
export function domain(nets: readonly Net[], shown: ReadonlySet<number>, quantity: Quantity): [number, number] {
  const values = nets
    .filter((_, i) => shown.has(i))
    .flatMap((net) => net.looks.flatMap((look) => profile(net, look.step, quantity)))
    .filter((value): value is number => value !== null);
  if (!values.length) return [-1, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = Math.max(0.04 * (high - low), 0.1);
  return [low - pad, high + pad];
}

/** Test accuracy in per cent at the end of each epoch. */
export function accuracies(nets: readonly Net[], shown: ReadonlySet<number>, name: (net: Net) => string): Series[] {
  return nets.flatMap((net, look) => {
    const points = net.looks.flatMap(({ step, test_accuracy }) =>
      test_accuracy === null ? [] : [[step / net.steps_per_epoch, 100 * test_accuracy] as const],
    );
    return shown.has(look) ? [{ name: name(net), look, points }] : [];
  });
}

/** Share of the norm mass by path length, in per cent; lengths that carry nearly nothing on both ends are left out. */
export function pathSeries(net: Net, name: (paths: Paths, i: number) => string): Series[] {
  return net.paths.map((paths, i) => ({
    name: name(paths, i),
    look: 2 * i + 2,
    points: paths.lengths.flatMap((length, k) => {
      const mass = paths.norm_mass[k] ?? 0;
      return mass < SHOWN_FROM ? [] : [[length, 100 * mass] as const];
    }),
  }));
}
const SHOWN_FROM = 1e-4;

/** Effective depth as the signed mean of the lengths: what Python recorded, computed again. */
export function meanLength(paths: Paths): number {
  return paths.lengths.reduce((sum, length, i) => sum + length * (paths.shares[i] ?? 0), 0);
}

/** Mean and standard error (null for one run); null where there is no run. */
export function spread(values: readonly (number | null)[]): { mean: number; error: number | null; n: number } | null {
  const known = values.filter((value): value is number => value !== null);
  const n = known.length;
  if (!n) return null;
  const mean = known.reduce((a, b) => a + b, 0) / n;
  const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return { mean, error: n > 1 ? Math.sqrt(variance / n) : null, n };
}

/** Depth against mean test accuracy in per cent, a line for each family. */
export function widthSeries(cells: readonly WidthCell[], names: Readonly<Record<string, string>>): Series[] {
  return [...new Set(cells.map((cell) => cell.family))].map((family) => ({
    name: names[family] ?? family,
    look: family === "plain" ? 3 : 4,
    points: cells.flatMap((cell) => {
      const found = cell.family === family ? spread(cell.test_accuracy) : null;
      return found ? [[cell.depth, 100 * found.mean] as const] : [];
    }),
  }));
}

/** The nets of the gallery that have an effective depth, deepest first, and the others. */
export function ranked(gallery: Gallery): { deep: GalleryNet[]; without: GalleryNet[] } {
  const depth = (net: GalleryNet) => net.effective_depth?.[0] ?? -1;
  return {
    deep: gallery.nets.filter((net) => net.effective_depth).sort((a, b) => depth(b) - depth(a)),
    without: gallery.nets.filter((net) => !net.effective_depth),
  };
}
