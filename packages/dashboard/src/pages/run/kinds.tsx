/** Kinds of steps: their picture and their word. */
import type { StepView } from "@rotorsh/sdk";
import { Box, CircleDot, GitFork, Hand, ListFilter, type LucideIcon, Moon, Radio, Send } from "lucide-react";

type Kind = StepView["kind"];

export const KINDS: Readonly<Record<Kind, { readonly word: string; readonly icon: LucideIcon }>> = {
  run: { word: "Step", icon: CircleDot },
  sleep: { word: "Sleep", icon: Moon },
  event: { word: "Wait for an event", icon: Radio },
  signal: { word: "Wait for a signal", icon: Hand },
  any: { word: "Wait for the first of several", icon: ListFilter },
  invoke: { word: "Child run", icon: GitFork },
  enqueue: { word: "Job", icon: Box },
  send: { word: "Sent event", icon: Send },
};

export const kindOf = (step: StepView): (typeof KINDS)[Kind] => KINDS[step.kind] ?? KINDS.run;
