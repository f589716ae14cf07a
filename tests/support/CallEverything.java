import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;

/**
 * Calls operations of a client that openapi-generator made, and prints each with its status. A plan
 * in JSON says where, which ones in which order, and what to hand over.
 */
public class CallEverything {
    private static final ApiClient CLIENT = new ApiClient();
    private static final ObjectMapper JSON = CLIENT.getObjectMapper();
    /** Of the generator's `native`; else `apache-httpclient`, whose methods keep their status to the client. */
    private static final boolean IS_NATIVE =
        Arrays.stream(ApiClient.class.getMethods()).anyMatch(one -> one.getName().equals("updateBaseUri"));

    public static void main(String[] files) throws Exception {
        Map<String, Object> plan = JSON.readValue(new File(files[0]), Map.class);
        ApiClient.class.getMethod(IS_NATIVE ? "updateBaseUri" : "setBasePath", String.class).invoke(CLIENT, plan.get("url"));
        List<Object> apis = new ArrayList<>();
        for (String name : (List<String>) plan.get("apis")) {
            Class<?> api = Class.forName("org.openapitools.client.api." + name);
            apis.add(api.getConstructor(ApiClient.class).newInstance(CLIENT));
        }
        for (String operation : (List<String>) plan.get("operations")) {
            System.out.println(operation + " " + call(apis, operation, plan));
        }
    }

    private static int call(List<Object> apis, String operation, Map<String, Object> plan) throws Exception {
        for (Object api : apis) {
            for (Method method : api.getClass().getMethods()) {
                Parameter[] parameters = method.getParameters();
                boolean hasHeaders = parameters.length > 0 && parameters[parameters.length - 1].getType() == Map.class;
                if (!method.getName().equals(IS_NATIVE ? operation + "WithHttpInfo" : operation) || hasHeaders) {
                    continue;
                }
                Object[] values = Arrays.stream(parameters).map(one -> value(one, operation, plan)).toArray();
                try {
                    Object answer = method.invoke(api, values);
                    Object told = IS_NATIVE ? answer : CLIENT;
                    return (int) told.getClass().getMethod("getStatusCode").invoke(told);
                } catch (InvocationTargetException error) {
                    if (error.getCause() instanceof ApiException refused && refused.getCode() > 0) {
                        return refused.getCode();
                    }
                    throw error;
                }
            }
        }
        throw new IllegalStateException("no client has " + operation);
    }

    private static Object value(Parameter parameter, String operation, Map<String, Object> plan) {
        Class<?> type = parameter.getType();
        if (type == File.class) {
            return new File((String) plan.get("file"));
        }
        if (type == List.class && parameter.getName().equals("_file")) {
            return List.of(new File((String) plan.get("file")));
        }
        Object body = ((Map<String, Object>) plan.get("bodies")).get(operation);
        String snake = parameter.getName().replaceAll("([A-Z])", "_$1").toLowerCase();
        Object given = ((Map<String, Object>) plan.get("arguments")).get(snake);
        if (given == null && body instanceof Map<?, ?> members) {
            given = members.containsKey(snake) ? members.get(snake) : type.getPackageName().endsWith(".model") ? body : null;
        }
        return given == null ? null : JSON.convertValue(given, type);
    }
}
