/** Puts a text where it can be pasted from, and says so. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "./button.js";
import { tell, tellError } from "./toasts.js";

export async function copy(text: string, what = "Copied"): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell(what);
  } catch (error) {
    // Without TLS a browser has no clipboard but on the machine itself.
    tellError(error);
  }
}

export function CopyButton({ text, label }: { readonly text: string; readonly label: string }) {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return;
    const timer = setTimeout(() => setDone(false), 1_500);
    return () => clearTimeout(timer);
  }, [isDone]);
  return (
    <Button
      kind="quiet"
      label={label}
      icon={isDone ? <Check /> : <Copy />}
      onClick={() => void copy(text).then(() => setDone(true))}
    />
  );
}
