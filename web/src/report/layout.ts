/** The layout's terms, as `gradpath/report/_layout/_terms.py` explains them. */
import type { Num } from "./records";

export interface Item {
  readonly kind: "node" | "group";
  readonly id: number;
  readonly name: string;
  readonly row: number;
  readonly column: number;
  readonly top: number;
  readonly side: number;
  readonly bottom: number;
  readonly exits: number;
}

export interface Target {
  readonly item: number;
  readonly port: number;
  readonly edges: readonly number[];
  readonly lane: boolean;
  readonly at: "top" | "side";
  readonly slot: number;
  readonly track: number;
}

export interface Wire {
  readonly node: number;
  readonly item: number;
  readonly port: number;
  readonly lane: number;
  readonly at: "bottom" | "side" | "";
  readonly slot: number;
  readonly exit: number;
  readonly track: number;
  readonly targets: readonly Target[];
}

export interface Sums {
  readonly nodes: number;
  readonly layers: number;
  readonly parameters: number;
  readonly log10_gradient_rms: Num;
  readonly smallest_layer: number;
  readonly log10_gradient_rms_largest: Num;
  readonly skip_share: Num;
  readonly residual_forks: number;
  readonly opaque: number;
  readonly without_gradient: number;
}

export interface Group {
  readonly id: number;
  readonly parent: number;
  readonly kind: "root" | "module" | "path" | "repeat" | "part";
  readonly name: string;
  readonly label: string;
  readonly module: string;
  readonly call: number;
  readonly count: number;
  readonly prototype: number;
  readonly prototype_ports: readonly number[];
  readonly prototype_outs: readonly number[];
  readonly items: readonly Item[];
  readonly ports: readonly number[];
  readonly outs: readonly number[];
  readonly rows: number;
  readonly columns: number;
  readonly lanes: number;
  readonly tracks: readonly number[];
  readonly wires: readonly Wire[];
  readonly sums: Sums;
}

export interface Layout {
  readonly groups: readonly Group[];
  readonly open: readonly number[];
}
