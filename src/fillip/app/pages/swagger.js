// `validatorUrl` is null: otherwise the document's address would be sent to a service elsewhere.
SwaggerUIBundle({url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null});
