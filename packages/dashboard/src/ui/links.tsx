/** Links to things by their ids. */
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { shortId } from "./words.js";

type Props = { readonly id: string; readonly children?: ReactNode };

export const RunLink = ({ id, children }: Props) => (
  <Link to="/runs/$runId" params={{ runId: id }} className="link" title={id}>
    {children ?? <code>{shortId(id)}</code>}
  </Link>
);

/** A job whose queue is not known here: its page finds it. */
export const JobLink = ({ id, children }: Props) => (
  <Link to="/jobs/$jobId" params={{ jobId: id }} className="link" title={id}>
    {children ?? <code>{shortId(id)}</code>}
  </Link>
);

export const EventLink = ({ id, children }: Props) => (
  <Link to="/events/$eventId" params={{ eventId: id }} className="link" title={id}>
    {children ?? <code>{shortId(id)}</code>}
  </Link>
);
