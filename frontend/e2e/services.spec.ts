import { startDetector, stopDetector } from "./detector";
import { unseenSample } from "./samples";
import { expect, test } from "./app";

test.describe("with the detector stopped", () => {
  test.beforeEach(() => stopDetector());
  let isStopped = true;
  test.afterEach(() => {
    if (isStopped) {
      startDetector();
    }
  });

  test("the result is partial and names it, and is completed once it is back", async ({ app, page }) => {
    await app.open();
    await app.choose([unseenSample("while-stopped.dcm")]);
    const study = await app.showsStudy();
    expect(study.status).toBe("partial");
    expect(study.problems.map(({ service }) => service)).toEqual(["detector"]);

    await expect(app.result).toContainText("Partial result: the detector is missing");
    await expect(app.result).toContainText("Not available: the detector did not respond.");
    await expect(page.getByRole("progressbar")).toHaveCount(0);
    const top = app.result.getByRole("region", { name: "Most likely findings" });
    await expect(top.getByRole("listitem").first()).toBeVisible();
    await expect(app.list.locator(`[data-study="${study.id}"]`)).toContainText("partial");
    await page.reload();
    await expect(page.getByRole("list", { name: "Inference services" })).toContainText("Detector not ready");

    // Read again while it is still away: the same sentence, and the button is there once more.
    const again = app.result.getByRole("button", { name: "Analyse again" });
    await again.click();
    await expect(again).toBeEnabled();
    await expect(app.result).toContainText("Partial result: the detector is missing");

    startDetector();
    isStopped = false;
    await again.click();
    await expect(again).toHaveCount(0);
    await expect(app.result).not.toContainText("Partial result");
    expect((await app.study(study.id)).status).toBe("complete");
    const row = app.list.locator(`[data-study="${study.id}"]`);
    await expect(row).not.toContainText("partial");
    await expect(page.getByRole("list", { name: "Inference services" })).not.toContainText("not ready");
  });
});
