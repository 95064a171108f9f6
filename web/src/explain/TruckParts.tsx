/** What stands and drives on the truck's road: truck, crates, customers, houses, numbered marks. */
/** So that a long number begins within the drawing. */
const HALF_LETTER = 4.4;

interface CrateProps {
  readonly x: number;
  /** The floor it stands on. */
  readonly y: number;
  readonly side: number;
  readonly text: string;
}

/** A crate on its shelf, its number below; an empty outline where nothing arrived. */
export function Crate({ x, y, side, text }: CrateProps) {
  return (
    <g class={side > 0 ? "crate" : "crate empty"}>
      <Box x={x} y={y} side={side || 12} />
      <text class="number" x={Math.max(x, HALF_LETTER * text.length)} y={y + 17} text-anchor="middle">
        {text}
      </text>
    </g>
  );
}

function Box({ x, y, side }: Omit<CrateProps, "text">) {
  const left = x - side / 2;
  return (
    <>
      <rect x={left} y={y - side} width={side} height={side} rx={1.5} />
      {side > 12 && <path class="slats" d={`M${left},${y - side / 3}h${side}M${left},${y - (2 * side) / 3}h${side}`} />}
    </>
  );
}

interface VehicleProps {
  readonly x: number;
  /** Where the wheels stand. */
  readonly y: number;
  readonly side: number;
  readonly text: string;
  readonly isCopy?: boolean;
}

/** A truck that drives to the left, its cargo behind the cab. Its place is a style, which can be driven to, and an
 * attribute, which a saved drawing keeps. */
export function Vehicle({ x, y, side, text, isCopy = false }: VehicleProps) {
  return (
    <g class={isCopy ? "vehicle copy" : "vehicle"} transform={`translate(${x},${y})`} style={{ transform: `translate(${x}px, ${y}px)` }}>
      <rect class="chassis" x={-20} y={-8} width={44} height={4} />
      {side > 0 && (
        <g class="crate">
          <Box x={8} y={-8} side={side} />
        </g>
      )}
      <path class="cab" d="M-10,-5V-24H-18Q-21,-24 -22,-21L-25,-13V-5Z" />
      <path class="window" d="M-13,-21H-17.5L-20.5,-14H-13Z" />
      {[-17, 2, 17].map((at) => (
        <circle key={at} class="wheel" cx={at} cy={-3} r={4} />
      ))}
      <text class="number" x={8} y={-14 - Math.max(side, 15)} text-anchor="middle">
        {text}
      </text>
    </g>
  );
}

/** A customer below the road, with what the gate does to the cargo that goes on. */
export function Customer({ x, y, name, factor }: { x: number; y: number; name: string; factor: string }) {
  const top = y + 32;
  return (
    <g class="customer">
      <text class="factor" x={x} y={y + 26} text-anchor="middle">
        {factor}
      </text>
      <circle cx={x - 10} cy={top + 8} r={5} />
      <path d={`M${x - 18},${top + 30}v-7q0,-8 8,-8t8,8v7Z`} />
      <text class="name" x={x + 2} y={top + 25}>
        {name}
      </text>
    </g>
  );
}

export function House({ x, y, label }: { x: number; y: number; label: string }) {
  return (
    <g class="house">
      <path d={`M${x - 20},${y + 22}V${y - 8}L${x},${y - 22}L${x + 20},${y - 8}V${y + 22}Z`} />
      <text class="name" x={x} y={y + 12} text-anchor="middle">
        {label}
      </text>
    </g>
  );
}

/** A number that the notes below the drawing speak of. */
export function Mark({ x, y, number }: { x: number; y: number; number: number }) {
  return (
    <g class="mark-number">
      <circle cx={x} cy={y} r={9} />
      <text x={x} y={y + 4.5} text-anchor="middle">
        {number}
      </text>
    </g>
  );
}
