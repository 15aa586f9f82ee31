// Starts runs of the dataset's DAG of promotions by Airflow's own API, in the name of whoever is logged in.
(function () {
  "use strict";

  const TITLES = {
    promote: (version) => `Promote version ${version}?`,
    canary: (version) => `Canary: let version ${version} answer a share?`,
    end_canary: (version) => `End the canary of version ${version}?`,
    end_shadow: (version) => `End the shadow of version ${version}?`,
    rollback: () => "Roll back to the champion before?",
  };
  const ABOUT = {
    promote: "The gate compares it with the champion on the same rows; it becomes champion only if it passes.",
    canary: "It answers a share of the requests as challenger, until the canary is ended or it is promoted.",
    end_canary: "The champion answers all requests again, at once.",
    end_shadow: "It is no longer asked, at once.",
    rollback: "The version that was champion before answers again, at once and without the gate.",
  };

  const dialog = document.getElementById("confirm");
  const said = document.getElementById("confirm-said");
  const yes = document.getElementById("confirm-yes");
  const API = `../../api/v2/dags/${yes.dataset.dag}/dagRuns`;
  const share = document.getElementById("confirm-share");
  const accept = document.getElementById("confirm-accept");
  const acceptLabel = document.getElementById("confirm-accept-label");
  // The field of the form, which a refusal for that reason names.
  const ACCEPT = "accept_generated_data";
  let asked = null;

  function ask(event) {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    asked = {
      action: button.dataset.action,
      version: Number(button.dataset.version) || null,
      moment: button.dataset.moment,
    };
    document.getElementById("confirm-title").textContent = TITLES[asked.action](asked.version);
    document.getElementById("confirm-about").textContent = ABOUT[asked.action];
    document.getElementById("confirm-share-label").hidden = asked.action !== "canary";
    acceptLabel.hidden = true;
    accept.checked = false;
    said.textContent = "";
    said.className = "";
    yes.disabled = false;
    dialog.showModal();
  }

  async function start() {
    yes.disabled = true;
    said.textContent = "Asking Airflow …";
    const conf = {
      action: asked.action,
      why: document.getElementById("confirm-why").value || "from the dashboard",
    };
    // Where a dataset has one variant, the form has no field for it.
    if (yes.dataset.field) conf[yes.dataset.field] = yes.dataset.variant;
    if (asked.version) conf.version = asked.version;
    if (asked.moment) conf.moment = asked.moment;
    if (accept.checked) conf[ACCEPT] = true;
    if (asked.action === "canary") conf.share = Number(share.value) / 100;
    try {
      const answer = await fetch(API, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ logical_date: null, conf }),
      });
      const told = await answer.json();
      if (!answer.ok) {
        const detail = typeof told.detail === "string" ? told.detail : JSON.stringify(told.detail);
        throw new Error(`Airflow refuses it (${answer.status}): ${detail}`);
      }
      await follow(told.dag_run_id);
    } catch (error) {
      said.className = "failed";
      said.textContent = error.message;
      if (error.message.includes(ACCEPT)) acceptLabel.hidden = false;
      yes.disabled = false;
    }
  }

  // What a step has left for those who asked: why the gate, a person or the registry has refused.
  async function saidBy(address) {
    for (const task of ["first_step", "judge", "after_the_gate", "reject", "move"]) {
      const answer = await fetch(`${address}/taskInstances/${task}/xcomEntries/said`);
      if (answer.ok) return (await answer.json()).value;
    }
    return null;
  }

  async function waits(address) {
    const answer = await fetch(`${address}/taskInstances/approval`);
    return answer.ok && ["awaiting_input", "deferred"].includes((await answer.json()).state);
  }

  async function follow(run) {
    said.textContent = `Started: ${run}`;
    const address = `${API}/${encodeURIComponent(run)}`;
    for (;;) {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`Airflow does not tell how ${run} is (${answer.status}).`);
      const { state } = await answer.json();
      said.textContent = `${run}: ${state}`;
      if (state === "success" || state === "failed") {
        const reason = await saidBy(address);
        if (reason) throw new Error(reason);
        if (state === "failed") throw new Error(`${run} has failed: its tasks say why.`);
        window.location.reload();
        return;
      }
      if (await waits(address)) {
        said.textContent = `${run} has passed the gate and waits for an approval.`;
      }
      await new Promise((resolve) => window.setTimeout(resolve, 1_000));
    }
  }

  document.addEventListener("click", ask);
  yes.addEventListener("click", start);
})();
