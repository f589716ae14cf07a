const PATHS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  hand: "M12 3v18M3 12h18M12 3l-2.500 2.500M12 3l2.500 2.500M12 21l-2.500-2.500M12 21l2.500-2.500M3 12l2.500-2.500M3 12l2.500 2.500M21 12l-2.500-2.500M21 12l-2.500 2.500",
  contrast: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  invert: "M4 4h16v16H4zM4 20L20 4M8 8h3M14.500 16h3M16 14.500v3",
  turn: "M20 12a8 8 0 1 1-2.500-5.800M20 4v4.500h-4.500",
  flip: "M12 3v18M9 7L3 17h6zM15 7l6 10h-6z",
  reset: "M4 12a8 8 0 1 0 2.500-5.800M4 4v4.500h4.500",
  ruler: "M3 16L16 3l5 5L8 21zM7 12l2 2M10 9l2.500 2.500M13 6l2 2",
  angle: "M4 19L16 5M4 19h16M10 12a8 8 0 0 1 3 7",
  ratio: "M4 4v16M20 4v16M8 9v6M15 9v6M8 12h7",
  lens: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM15.500 15.500L20 20",
  boxes: "M4 5h9v9H4zM16 9h4v10h-9v-2",
  download: "M12 4v11M7.500 11L12 15.500 16.500 11M5 20h14",
  upload: "M12 16V5M7.500 9L12 4.500 16.500 9M5 20h14",
  help: "M9 9a3 3 0 1 1 4.500 2.600c-1 .600-1.500 1.200-1.500 2.400M12 17.500v.100",
  list: "M4 6h16M4 12h16M4 18h10",
  close: "M6 6l12 12M18 6L6 18",
  heat: "M12 3c.500 4 5 5.500 5 11a5 5 0 0 1-10 0c0-2 .800-3.300 2-4.500.300 1.500 1 2.200 1.800 2.500C11 9 10.500 6 12 3z",
  target: "M12 3v4M12 17v4M3 12h4M17 12h4M8 8h8v8H8z",
  check: "M5 12.500l4.500 4.500L19 7.500",
  alert: "M12 4l9 16H3zM12 10v4.500M12 17.300v.100",
  urgent: "M6 13l6-6 6 6M6 19l6-6 6 6",
  soon: "M6 15l6-6 6 6",
  routine: "M6 12h12",
  refused: "M5.600 5.600l12.800 12.800M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  unread: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.500V13M12 16.300v.100",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
} as const;

export type IconName = keyof typeof PATHS;

/** A line drawing beside a word; never the only thing that says something. */
export function Icon({ name, size = 20 }: { readonly name: IconName; readonly size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
