import com.pixelmed.validate.DicomSRValidator;

/** PixelMed's DicomSRValidator over several files: it compiles its templates once, not for each. */
class ValidateReports {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println(validator.validate(file, false, false, false, false, false));
        }
    }
}
