import { startDetector, stopDetector } from "./detector";
import { unseenSample } from "./films";
import { expect, test } from "./reader";

test.describe("with the detector stopped", () => {
  test.beforeEach(() => stopDetector());
  let isStopped = true;
  test.afterEach(() => {
    if (isStopped) {
      startDetector();
    }
  });

  test("the result is partial and names it, and is completed once it is back", async ({ reader, page }) => {
    await reader.open();
    await reader.choose([unseenSample("while-stopped.dcm")]);
    const study = await reader.showsStudy();
    expect(study.status).toBe("partial");
    expect(study.problems.map(({ part }) => part)).toEqual(["detector"]);

    await expect(reader.result).toContainText("Partial result: the detector is missing");
    await expect(reader.result).toContainText("Not looked for: the detector did not answer.");
    await expect(page.getByRole("progressbar")).toHaveCount(0);
    const top = reader.result.getByRole("region", { name: "Most likely findings" });
    await expect(top.getByRole("listitem")).toHaveCount(3);
    await expect(reader.list.locator(`[data-study="${study.id}"]`)).toContainText("partial");
    await page.reload();
    await expect(page.getByRole("list", { name: "Readers" })).toContainText("Detector not ready");

    // Read again while it is still away: the same sentence, and the button is there once more.
    const again = reader.result.getByRole("button", { name: "Read again" });
    await again.click();
    await expect(again).toBeEnabled();
    await expect(reader.result).toContainText("Partial result: the detector is missing");

    startDetector();
    isStopped = false;
    await again.click();
    await expect(again).toHaveCount(0);
    await expect(reader.result).not.toContainText("Partial result");
    expect((await reader.study(study.id)).status).toBe("complete");
    const row = reader.list.locator(`[data-study="${study.id}"]`);
    await expect(row).not.toContainText("partial");
    await expect(page.getByRole("list", { name: "Readers" })).not.toContainText("not ready");
  });
});
