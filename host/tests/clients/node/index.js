// The test function under aws-lambda-ric. The event says what to do.
if (process.env.FAIL_INIT) throw new Error("no start");

exports.handler = async (event, context) => {
  switch (event && event.do) {
    case "error":
      throw new RangeError("as asked");
    case "exit":
      process.exit(event.code);
    case "sleep":
      await new Promise((done) => setTimeout(done, event.seconds * 1000));
      return null;
    case "throw later":
      // Outside of what anybody waits for.
      setTimeout(() => { throw new RangeError("uncaught"); }, 100);
      return new Promise(() => {});
    case "reject later":
      setTimeout(() => Promise.reject(new RangeError("unhandled")), 100);
      return new Promise(() => {});
    case "size":
      return "x".repeat(event.bytes - 2);
    case "context":
      return {
        id: context.awsRequestId,
        arn: context.invokedFunctionArn,
        left: context.getRemainingTimeInMillis(),
        custom: context.clientContext && context.clientContext.custom,
        trace: process.env._X_AMZN_TRACE_ID,
        env: process.env,
      };
    default:
      return event;
  }
};

// `awslambda` is the runtime client's own global.
exports.stream = awslambda.streamifyResponse(async (given, stream) => {
  // From a Function URL what is asked is the body.
  const event = given.body ? JSON.parse(given.body) : given;
  if (event.do === "http") {
    const head = { statusCode: 201, headers: { "content-type": "text/plain" }, cookies: ["a=b"] };
    stream = awslambda.HttpResponseStream.from(stream, head);
  }
  for (const part of event.parts) {
    stream.write(part);
    await new Promise((done) => setTimeout(done, event.pause || 0));
  }
  if (event.do === "fail") throw new RangeError("mid-stream");
  stream.end();
});
