package example;

import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.HashMap;
import java.util.Map;

/** The test function under AWS's Java client. The event says what to do. */
public class Fn implements RequestHandler<Object, Object> {
    public Fn() {
        if (System.getenv("FAIL_INIT") != null) {
            throw new IllegalStateException("no start");
        }
    }

    @Override
    public Object handleRequest(Object event, Context context) {
        Map<?, ?> asked = event instanceof Map ? (Map<?, ?>) event : Map.of();
        Object todo = asked.get("do");
        if ("error".equals(todo)) {
            throw new IllegalArgumentException("as asked");
        } else if ("exit".equals(todo)) {
            Runtime.getRuntime().halt(number(asked, "code"));
        } else if ("sleep".equals(todo)) {
            sleep(number(asked, "seconds"));
            return null;
        } else if ("size".equals(todo)) {
            return "x".repeat(number(asked, "bytes") - 2);
        } else if ("context".equals(todo)) {
            return told(context);
        }
        return event;
    }

    private static Map<String, Object> told(Context context) {
        ClientContext client = context.getClientContext();
        Map<String, Object> told = new HashMap<>();
        told.put("id", context.getAwsRequestId());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("left", context.getRemainingTimeInMillis());
        told.put("custom", client == null ? null : client.getCustom());
        told.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
        told.put("env", System.getenv());
        return told;
    }

    private static int number(Map<?, ?> asked, String name) {
        return ((Number) asked.get(name)).intValue();
    }

    private static void sleep(int seconds) {
        try {
            Thread.sleep(seconds * 1000L);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
