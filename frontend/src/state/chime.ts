/** A quiet sound for a new urgent study, for whoever wants it. */

export const SOUND_KEY = "cxr.sound";

/** Whether the number of urgent studies that nobody opened calls for it. */
export function isCall(before: number | null, now: number): boolean {
  return before !== null && now > before;
}

/** Two soft notes of a third of a second. A browser may refuse until the page was touched. */
export function chime(): void {
  if (typeof AudioContext === "undefined") {
    return;
  }
  const audio = new AudioContext();
  [660, 880].forEach((frequency, index) => {
    const start = audio.currentTime + index * 0.18;
    const note = audio.createOscillator();
    const volume = audio.createGain();
    note.frequency.value = frequency;
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.06, start + 0.03);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.32);
    note.connect(volume).connect(audio.destination);
    note.start(start);
    note.stop(start + 0.34);
    if (index === 1) {
      note.onended = () => void audio.close();
    }
  });
}
