#!/usr/bin/env bash
# Known vulnerabilities of everything that is locked: pip-audit for Python, npm for the page.
# Exit status 1 if there is one. Where no source of advisories answers, that is said and is no failure,
# since it says nothing about the packages.
set -uo pipefail
cd "$(dirname "$0")/.."

# Advisories that are known and do not concern this project, each with its reason beside it.
ignored=()

pip_audit=(.venv-dev/bin/pip-audit --disable-pip --require-hashes --progress-spinner off)
status=0

# Under --strict it prints a report only if the source knows the packages of the smallest list.
if [ -z "$("${pip_audit[@]}" --strict --format json --requirement requirements/uv.txt 2>/dev/null)" ]; then
  echo "Python: no source of advisories answers here; nothing was audited."
else
  for list in requirements/*.txt; do
    echo "$list"
    "${pip_audit[@]}" "${ignored[@]/#/--ignore-vuln=}" --requirement "$list" || status=1
  done
fi

report=$(cd frontend && npm audit --omit=dev --json 2>/dev/null)
if ! grep -q '"auditReportVersion"' <<<"$report"; then
  echo "The page: no source of advisories answers here; nothing was audited."
else
  (cd frontend && npm audit --omit=dev) || status=1
fi
exit "$status"
