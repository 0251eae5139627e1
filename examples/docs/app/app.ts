/** What the pages about workflows import as their reader's own code: stand-ins that note what they were asked to do. */
import { called } from "./calls.js";

export type Contact = { readonly id: string; readonly name: string; readonly email: string };

export async function fetchContact(id: string): Promise<Contact> {
  called("fetchContact", id);
  return { id, name: "Ada", email: `${id}@example.com` };
}

export async function sendEmail(to: string, template: string, options: { idempotencyKey?: string } = {}) {
  called("sendEmail", to, template);
  return { messageId: options.idempotencyKey ?? template };
}

export async function charge(orderId: string, amount: number, options: { idempotencyKey: string }) {
  called("charge", orderId, amount, options.idempotencyKey);
  return { paymentId: `pay_${orderId}` };
}

export async function refund(paymentId: string): Promise<void> {
  called("refund", paymentId);
}

export async function reserve(orderId: string) {
  called("reserve", orderId);
  return { reservationId: `res_${orderId}` };
}

export async function release(reservationId: string): Promise<void> {
  called("release", reservationId);
}

export async function ship(orderId: string) {
  called("ship", orderId);
  return { trackingId: `trk_${orderId}` };
}

/** A page of a list, and where the next one begins. */
export async function listCustomers(cursor: number): Promise<{ ids: string[]; next: number | null }> {
  called("listCustomers", cursor);
  return { ids: [`c_${cursor}a`, `c_${cursor}b`], next: cursor < 2 ? cursor + 1 : null };
}

export async function writeReport(customer: string) {
  called("writeReport", customer);
  return { customer, lines: customer.length };
}

export async function startExport(account: string) {
  called("startExport", account);
  return { exportId: `exp_${account}` };
}

let looks = 0;

/** Ready at every third look. */
export async function exportStatus(exportId: string): Promise<{ ready: boolean; url: string }> {
  called("exportStatus", exportId);
  return { ready: ++looks % 3 === 0, url: `https://example.com/${exportId}` };
}

/** A service that may say when it wants to be asked again. */
export async function callPartner(path: string): Promise<{ status: number; retryAfterSeconds: number; body: string }> {
  called("callPartner", path);
  partnerCalls += 1;
  return partnerCalls % 2 === 1
    ? { status: 429, retryAfterSeconds: 120, body: "" }
    : { status: 200, retryAfterSeconds: 0, body: `partner says ${path}` };
}

let partnerCalls = 0;

export type Message = { readonly role: "user" | "model" | "tool"; readonly text: string };
export type Reply = { readonly text: string; readonly tool?: { readonly name: string; readonly input: string } };

/** A language model that wants to look something up, then to pay, and then has an answer. */
export async function askModel(messages: readonly Message[], options: { signal: AbortSignal }): Promise<Reply> {
  options.signal.throwIfAborted();
  called("askModel", messages.length);
  const tools = messages.filter(({ role }) => role === "tool").length;
  if (tools === 0) return { text: "I look it up.", tool: { name: "search", input: messages[0]!.text } };
  if (tools === 1) return { text: "I pay it.", tool: { name: "pay", input: "inv_1" } };
  return { text: `Done: ${messages.at(-1)!.text}` };
}

export async function useTool(name: string, input: string, options: { idempotencyKey: string }): Promise<string> {
  called("useTool", name, input, options.idempotencyKey);
  return `${name} of ${input}`;
}
