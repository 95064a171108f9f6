/** A circuit as SVG: values above the wires, gradients below. What is written comes from `scene`. */
import { RADIUS, type NodeMark, scene, type WireMark } from "./scene";
import type { Walk } from "./engine";

interface Props {
  readonly walked: Walk;
  /** How many steps have been done. */
  readonly k: number;
  readonly label: string;
  /** Wires whose gradient stays hidden, by key ("predict first"). */
  readonly hidden?: string | null;
  /** Nodes to mark. */
  readonly marked?: ReadonlySet<string>;
  readonly onSelect?: (name: string) => void;
}

export function CircuitView({ walked, k, label, hidden = null, marked, onSelect }: Props) {
  const { nodes, wires, width, height } = scene(walked, k);
  return (
    <svg class="circuit" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={label}>
      {wires.map((wire) => (
        <WireView key={wire.key} wire={wire} isHidden={hidden === wire.key} />
      ))}
      {nodes.map((node) => (
        <NodeView key={node.name} node={node} isMarked={marked?.has(node.name) ?? false} onSelect={onSelect} />
      ))}
    </svg>
  );
}

const path = (points: WireMark["points"]) => points.map(([x, y], i) => `${i ? "L" : "M"}${x},${y}`).join("");

function WireView({ wire, isHidden }: { wire: WireMark; isHidden: boolean }) {
  const { points, value, gradient, labelX, labelY, hanging } = wire;
  const anchor = hanging ? "start" : "middle";
  const classes = ["wire", wire.skip && "skip", wire.active && "active"].filter(Boolean).join(" ");
  return (
    <g class={classes} data-wire={wire.key}>
      <path class="line" d={path(points)} />
      {gradient !== null && <path class="back" d={path(points)} transform={hanging ? "translate(-4,0)" : "translate(0,4)"} />}
      {value !== null && (
        <text class="value" x={labelX} y={labelY - 9} text-anchor={anchor}>
          {value}
        </text>
      )}
      {gradient !== null && (
        <text class="gradient" x={labelX} y={labelY + (hanging ? 12 : 21)} text-anchor={anchor}>
          {isHidden ? "◂ ∂ ?" : gradient}
        </text>
      )}
    </g>
  );
}

function NodeView({ node, isMarked, onSelect }: { node: NodeMark; isMarked: boolean; onSelect: Props["onSelect"] }) {
  const { name, gate, x, y, label, sum } = node;
  const leaf = gate === "input" || gate === "weight" || gate === "constant";
  const classes = ["node", gate, leaf && "leaf", node.active && "active", isMarked && "marked"].filter(Boolean).join(" ");
  return (
    <g class={classes} data-node={name} onClick={onSelect && (() => onSelect(name))}>
      {leaf ? (
        <rect x={x - RADIUS - 2} y={y - 15} width={2 * RADIUS + 4} height={30} rx={15} />
      ) : (
        <circle cx={x} cy={y} r={RADIUS} />
      )}
      <text class="name" x={x} y={y + 5} text-anchor="middle">
        {label}
      </text>
      {sum !== null && (
        <text class="gradient sum" x={x} y={y + RADIUS + 20} text-anchor="middle">
          {sum}
        </text>
      )}
    </g>
  );
}
