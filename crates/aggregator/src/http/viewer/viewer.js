// Shows the document of this service. What a reader enters is gone when the tab is loaded again or closed.
"use strict";

// The browser would offer a key that was entered again, to whoever uses it next.
const withoutHistory = (Input, system) => (props) =>
  system.React.createElement(Input, { ...props, autoComplete: "off" });

SwaggerUIBundle({
  dom_id: "#viewer",
  url: "openapi.json",
  deepLinking: true,
  displayOperationId: true,
  persistAuthorization: false,
  queryConfigEnabled: false,
  // It would be one of another host.
  validatorUrl: null,
  plugins: [{ wrapComponents: { Input: withoutHistory } }],
});
