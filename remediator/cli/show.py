"""Answers of the API as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..model.text import one_line

Row = Mapping[str, Any]
ENOUGH = 5


def listing(rows: Sequence[Row]) -> str:
    """One line per remediation."""
    cells = [("CREATED (UTC)", "ID", "STATE", "RULE", "TARGET", "WHY")]
    cells += [
        (_moment(r.get("created_at") or ""), r["id"], _state(r), r["rule"], r["target"], _why(r))
        for r in rows
    ]
    widths = [max(len(str(row[i])) for row in cells) for i in range(5)]
    return _lines(
        [
            "  ".join([*(str(row[i]).ljust(widths[i]) for i in range(5)), str(row[5])])
            for row in cells
        ]
    )


def _state(row: Row) -> str:
    """The state; in observe mode, whether it would have acted."""
    if row["state"] != "observed":
        return str(row["state"])
    return "observed: would act" if row.get("reason") == "observe_mode" else "observed: no action"


def _moment(text: str) -> str:
    """A date and a time to the minute."""
    return text[:16].replace("T", " ")


def pauses(rows: Sequence[Row]) -> str:
    """One line per pause."""
    if not rows:
        return "nothing is paused"
    return _lines(
        [
            f"{row['scope']}  by {row['author']}  since {_moment(str(row['at']))}  "
            f"until {_moment(str(row['until'])) if row['until'] else 'resumed'}: {row['reason']}"
            for row in rows
        ]
    )


def undoing(would: Row) -> str:
    """What an undo would do."""
    lines = [f"plan     {would['plan'] or '-'}"] + [f"call     {call}" for call in would["calls"]]
    for verdict in would["verdicts"]:
        if verdict["verdict"] != "allow":
            lines.append(
                f"guard    {verdict['guard']}: {verdict['verdict']} {verdict['reason']}:"
                f" {verdict['why']}"
            )
    return _lines(lines)


def _why(row: Row) -> str:
    return f"{row['reason']}: {row['why']}" if row.get("reason") else str(row.get("why") or "")


def _time(text: str) -> str:
    return text[11:19]


def look(seen: Row, indent: str = "  ") -> list[str]:
    """Causes, verdicts and calls of an evaluation."""
    lines = [f"cause    {cause['name']}: {cause['why']}" for cause in seen.get("causes") or []]
    if seen.get("plan"):
        lines.append(f"plan     {seen['plan']['summary']}  (digest {seen['digest']})")
    lines += [f"call     {call}" for call in seen.get("calls") or []]
    lines += _verdicts(seen.get("verdicts") or [])
    return [f"{indent}{line}" for line in lines]


def _verdicts(verdicts: Sequence[Row]) -> list[str]:
    """What each guard said; those that allowed without a word on one line."""
    against = [verdict for verdict in verdicts if verdict["verdict"] != "allow" or verdict["why"]]
    lines = [f"guard    {_verdict(verdict)}" for verdict in against]
    allowed = [verdict["guard"] for verdict in verdicts if verdict["verdict"] == "allow"]
    return [*lines, f"allowed  {', '.join(dict.fromkeys(allowed))}"] if allowed else lines


def _lines(lines: Sequence[str]) -> str:
    """Lines that no label, name or message can split, and in which none can move the cursor."""
    return "\n".join(map(one_line, lines))


def _verdict(verdict: Row) -> str:
    reason = f" {verdict['reason']}" if verdict["reason"] else ""
    return f"{verdict['guard']}: {verdict['verdict']}{reason}: {verdict['why']}"


def remediation(row: Row) -> str:
    """One remediation with everything."""
    cluster = row.get("cluster", "-")
    head = f"{row['id']}  {_state(row)}  rule {row['rule']}  target {row['target']}"
    ended = f", ended {_moment(row['ended_at'])}" if row.get("ended_at") else ""
    lines = [
        f"{head}  cluster {cluster}",
        f"  created  {_moment(row.get('created_at') or '')} UTC{ended}",
        f"  why      {_why(row) or '-'}",
    ]
    if row.get("undo_of"):
        lines.append(f"  undoes   {row['undo_of']}")
    for undo in row.get("undos") or []:
        lines.append(f"  undone   by {undo['id']}: {undo['state']} {undo['why'] or ''}".rstrip())
    lines += [f"  alert    {_alert(episode)}" for episode in row["episodes"]]
    lines += look(row["look"])
    lines += [f"  attempt  {_attempt(attempt)}" for attempt in row["attempts"]]
    lines += [f"  {_entry(entry)}" for entry in row["history"]]
    lines += [f"  notified {_told(message)}" for message in row["messages"]]
    return _lines([*lines, *_due(row)])


def _due(row: Row) -> list[str]:
    """What happens next by itself."""
    lines = []
    if row.get("undo_due_at"):
        when = row["undo_due_at"][:16].replace("T", " ")
        lines.append(f"  undone   after the alert has been quiet, not before {when} UTC")
    if row.get("next_look"):
        lines.append(f"  next look at {_time(row['next_look'])} UTC")
    return lines


def _alert(episode: Row) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(episode["labels"].items()))
    status = "firing" if episode["open"] else "resolved"
    delivered = f"delivered {episode['deliveries']}x"
    return f"{status}, {delivered}, fingerprint {episode['fingerprint']}: {labels}"


def _attempt(attempt: Row) -> str:
    outcome = attempt["outcome"] or "in progress"
    return f"{attempt['number']}: {attempt['plan']['summary']} -> {outcome}"


def _entry(entry: Row) -> str:
    reason = f" {entry['reason']}" if entry["reason"] else ""
    return f"{_time(entry['at'])} {entry['kind']}{reason}: {entry['text']}"


def _told(message: Row) -> str:
    how = "delivered" if message["delivered_at"] else message["error"] or "waiting"
    return f"{message['receiver']}: {how}"


def rules(rows: Sequence[Row]) -> str:
    """One line per rule: what it would have done, and how often it was approved and helped."""
    if not rows:
        return "no rules are loaded"
    cells = [("RULE", "MODE", "WOULD HAVE ACTED", "APPROVED", "HELPED", "")]
    for row in rows:
        record = row["record"]
        asked, acted = _asked(record), _acted(record)
        note = (
            f"breaker open since {row['breaker_open_since'][:16]}: approval required"
            if row["breaker_open_since"]
            else ""
        )
        approved = f"{record['approved']} of {asked}" if asked else "-"
        helped = f"{record['succeeded']} of {acted}" if acted else "-"
        cells.append(
            (row["name"], row["mode"], str(record["would"] or "-"), approved, helped, note)
        )
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    return _lines(
        [
            "  ".join([*(row[i].ljust(widths[i]) for i in range(5)), row[5]]).rstrip()
            for row in cells
        ]
    )


def _asked(record: Row) -> int:
    return int(record["approved"] + record["denied"] + record["undecided"])


def _acted(record: Row) -> int:
    return int(record["succeeded"] + record["ineffective"] + record["failed"] + record["other"])


def promotion(row: Row) -> str:
    """The evidence for more freedom, what speaks against it, and the edit to make."""
    record = row["record"]
    asked, acted = _asked(record), _acted(record)
    lines = [f"{row['name']} is in mode {row['mode']} ({row['file']}:{row['line']})"]
    idle = ", ".join(f"{count} {reason}" for reason, count in sorted(record["against"].items()))
    nothing = (
        f"; {record['idle']} times there was nothing to do, or a guard was against it ({idle})"
        if record["idle"]
        else ""
    )
    lines.append(f"  observe  it would have acted {record['would']} times{nothing}")
    lines += [f"           recent: {plan}" for plan in record["lately"]]
    lines.append(
        f"  approve  people approved {record['approved']} of {asked}, denied {record['denied']},"
        f" left {record['undecided']} undecided"
    )
    lines.append(
        f"  act      it helped {record['succeeded']} of {acted} times; {record['ineffective']} did"
        f" not help, {record['failed']} failed"
    )
    lines += [f"  against  {text}" for text in _against(row)] or [
        "  against  nothing found in the journal"
    ]
    after = {"observe": "approve", "approve": "act"}.get(row["mode"])
    edit = (
        f"in {row['file']}, rule `{row['name']}` (line {row['line']}): set `mode: {after}`; the"
        " daemon reloads by itself"
    )
    lines.append(f"  edit     {edit}" if after else "  edit     none: it is in mode act already")
    return _lines(lines)


def _against(row: Row) -> list[str]:
    """What speaks against more freedom."""
    record = row["record"]
    asked = _asked(record)
    against = []
    if row["breaker_open_since"]:
        against.append(
            "its breaker is open: find out why it did not help, then run `remediator reset`"
        )
    if row["mode"] == "observe" and record["would"] < ENOUGH:
        against.append(
            f"it would have acted {record['would']} times; review {ENOUGH} plans before"
            " switching to approve"
        )
    if row["mode"] == "approve" and (
        record["approved"] < ENOUGH or 10 * record["approved"] < 9 * asked
    ):
        against.append(
            f"people approved {record['approved']} of {asked}; wait for {ENOUGH}, nine of ten"
            " approved"
        )
    return against


def _timeline(happened: Sequence[Row]) -> list[str]:
    """A line for each, below its day."""
    lines, day = [], ""
    for line in happened:
        if line["at"][:10] != day:
            day = line["at"][:10]
            lines.append(day)
        reason = f" {line['reason']}" if line["reason"] else ""
        what, about = f"{line['what']}{reason}", line["remediation"] or "alert"
        cells = (_time(line["at"]), f"{about:<12}", f"{what:<28}", line["target"], line["text"])
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def replay(report: Row) -> str:
    """A timeline, how each remediation ended, and a summary."""
    lines = _timeline(report["timeline"])
    lines += ["", *listing(report["remediations"]).split("\n")] if report["remediations"] else []
    found = report["summary"]
    ends = (
        ", ".join(f"{count} {state}" for state, count in sorted(found["remediations"].items()))
        or "none"
    )
    lost = f", {found['truncated']} truncated (set max_alerts: 0)" if found["truncated"] else ""
    lines += [
        "",
        (
            f"{found['webhooks']} webhooks, {found['alerts']} alerts{lost}, {found['episodes']}"
            f" episodes, {found['unmatched']} unmatched"
        ),
        f"remediations: {ends}",
        (
            f"{found['calls']} calls and {found['notifications']} notifications would have been"
            " sent; nothing was sent"
        ),
    ]
    return _lines(lines)


def explanation(answer: Row) -> str:
    """Every rule's answer."""
    labels = ", ".join(f"{k}={v}" for k, v in sorted(answer["alert"].items()))
    lines = [f"alert {answer['fingerprint']} from {answer['source']}: {labels}"]
    if answer.get("fate"):
        lines.append(
            f"  fate     {answer['fate']}"
            + (f" ({', '.join(answer['remediations'])})" if answer.get("remediations") else "")
        )
    if not answer["rules"]:
        lines.append("  no rules are loaded: nothing can match")
    for rule in answer["rules"]:
        if not rule["matched"]:
            lines.append(f"- {rule['rule']}: no match, {rule['reason']}: {rule['why']}")
            continue
        lines.append(
            f"+ {rule['rule']}: matches, target {rule['target']}"
            + (f" (root {rule['root']})" if rule.get("root") else "")
        )
        lines += look(rule)
    return _lines(lines)
