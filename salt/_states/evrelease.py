"""State of a node's release. `evrelease.converged: - name: <release>` is idempotent."""


def converged(name):
    """The role serves from this release: fetched, installed and swapped in if it wasn't."""
    state = {"name": name, "changes": {}, "result": True, "comment": ""}
    if __opts__["test"]:
        serving = __salt__["evrelease.status"]()["status"].get("release")
        if serving != name:
            state.update(result=None, changes={"old": serving, "new": name})
        return state
    done = __salt__["evrelease.converge"](release=name)
    if not done["ok"]:
        error = done["error"]
        said = (error[part] for part in ("code", "what", "why", "next") if error.get(part))
        return {**state, "result": False, "comment": " · ".join(said)}
    if not done["result"].get("unchanged"):
        state["changes"] = {"old": done["result"].get("from"), "new": name}
    return {**state, "comment": f"serving {name}"}
