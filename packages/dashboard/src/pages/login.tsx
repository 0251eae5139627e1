/** Login by an API key. The key is sent once; what stays is a cookie that no script can read. */
import { useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { logIn, sessionQuery } from "../api/session.js";
import { Mark } from "../shell/mark.js";
import styles from "../shell/shell.module.css";
import { Button } from "../ui/button.js";
import { Field } from "../ui/dialog.js";
import formStyles from "../ui/dialog.module.css";
import { ErrorNotice } from "../ui/error-notice.js";

const route = getRouteApi("/login");

export function Login() {
  const { to } = route.useSearch();
  const navigate = useNavigate();
  const cache = useQueryClient();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    document.title = "Log in · Rotor";
  }, []);
  const submit = async (form: FormData): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      cache.setQueryData(sessionQuery.queryKey, await logIn(String(form.get("key")).trim()));
      await navigate({ href: to ?? "/", replace: true });
    } catch (reason) {
      setError(reason);
      setBusy(false);
    }
  };
  return (
    <main className={styles.login}>
      <header>
        <Mark />
        <h1>Log in to Rotor</h1>
      </header>
      <form
        className={formStyles.form}
        onSubmit={(event) => {
          event.preventDefault();
          void submit(new FormData(event.currentTarget));
        }}
      >
        {error !== undefined && <ErrorNotice error={error} />}
        <Field label="API key" hint="rotor keys create makes one, where the server runs.">
          <input
            name="key"
            type="password"
            required
            autoComplete="current-password"
            placeholder="rt_ws_…"
            spellCheck={false}
            // biome-ignore lint/a11y/noAutofocus: it is all that this page is for.
            autoFocus
          />
        </Field>
        <Button type="submit" kind="primary" isBusy={isBusy}>
          Log in
        </Button>
      </form>
    </main>
  );
}
