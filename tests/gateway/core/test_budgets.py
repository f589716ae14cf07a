"""A budget that is none stops the start with a sentence."""

import pytest

from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.process import settings_or_exit


@pytest.mark.parametrize(
    ("alert", "soon", "sentence"),
    [
        ("1.5", "0", "CXR_GATEWAY_ALERT_BUDGET is 1.5; it is a share of radiographs, from 0 to 1"),
        ("-0.1", "0", "CXR_GATEWAY_ALERT_BUDGET is -0.1; it is a share"),
        ("0.1", "nan", "CXR_GATEWAY_SOON_BUDGET is nan; it is a share"),
        ("0.6", "0.5", "(0.6) and CXR_GATEWAY_SOON_BUDGET (0.5) are more than all radiographs"),
    ],
)
def test_a_budget_that_is_no_share_is_refused(
    alert: str,
    soon: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CXR_GATEWAY_ALERT_BUDGET", alert)
    monkeypatch.setenv("CXR_GATEWAY_SOON_BUDGET", soon)
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(GatewaySettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("alert", "soon"), [("0", "0"), ("1", "0"), ("0.4", "0.6")])
def test_the_ends_are_budgets(alert: str, soon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_GATEWAY_ALERT_BUDGET", alert)
    monkeypatch.setenv("CXR_GATEWAY_SOON_BUDGET", soon)
    settings = GatewaySettings()
    assert (settings.alert_budget, settings.soon_budget) == (float(alert), float(soon))
